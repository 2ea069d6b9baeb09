"""The basis in which a sparse model holds its kernels."""

import functools

import keras
import numpy as np

from keras_tickets.bases.basis import Basis, check_matrices
from keras_tickets.bases.coefficient_masks import to_coefficients, to_weights
from keras_tickets.masks import kernels_by_path, whole_kernels
from keras_tickets.model.sparse_model import SparseModel


def basis_of(sparse_model: keras.Model) -> Basis | None:
    """The basis in which a model holds its masked kernels; `None` if it holds them as they are.

    Args:
        sparse_model: Any Keras model.

    Raises:
        ValueError: Its kernels are not all in one basis, or got it under other paths.

    Example:

    ```python
    import keras
    import keras_tickets as kt
    from keras_tickets.model import basis_of, set_basis

    dense = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, name="fc")])
    model = kt.sparsify(dense, {"": 0.0}, mask="ones")
    assert basis_of(model) is None
    set_basis(model, kt.bases.DCT())
    assert basis_of(model) == kt.bases.DCT()
    ```
    """
    records = kernels_by_path(sparse_model)
    bases = {path: record.basis for path, record in records.items()}
    found = [basis for basis in bases.values() if basis is not None]
    if not found:
        return None
    plain = [path for path, basis in bases.items() if basis is None]
    moved = [path for path, record in records.items() if record.name != path]
    if plain or moved:
        raise ValueError(
            f"Kernels of model {sparse_model.name!r} must all be in one basis, which was set for "
            f"this model. Those in none: {plain}; those that had another path: {moved}"
        )
    return functools.reduce(lambda one, other: one.joined(other), found)


def set_basis(sparse_model: SparseModel, basis: Basis | None) -> None:
    """Makes a model hold its masked kernels as coefficients in a basis.

    The model computes what it did, up to rounding. All masks become `True`: what they left out
    was in the basis before. Optimizer slots of the kernels return to their initial values.

    A model or trainer around this one that has run before keeps functions that were traced in the
    old basis: compile it again.

    Args:
        sparse_model: The model, whose layers run with the kernels that the coefficients stand for.
        basis: The basis. None: that of single weights. If the model is in it, nothing changes.

    Raises:
        ValueError: Kernels are stored sparsely, or have constraints, which are on weights; or the
            basis does not fit them. Nothing is changed then.

    Example:

    ```python
    import keras
    import keras_tickets as kt
    from keras_tickets.model import set_basis

    dense = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, name="fc")])
    model = kt.sparsify(dense, {"": 0.0}, mask="ones")
    set_basis(model, kt.bases.DCT())
    coefficients = kt.weight_paths(model)["fc/kernel"].numpy()
    assert abs(kt.bases.DCT().inverse("fc/kernel", coefficients) - dense.weights[0]).max() < 1e-6
    ```
    """
    before = basis_of(sparse_model)
    if before == basis:
        return
    records = whole_kernels(sparse_model, "Another basis", any_basis=True)
    if constrained := [path for path, record in records.items() if record.kernel.constraint]:
        raise ValueError(
            f"Kernels {constrained} have constraints, which are on weights; in another basis the "
            "optimizer has coefficients."
        )
    if basis is not None:
        for path, record in records.items():
            check_matrices(basis, path, record.shape)
    values = {path: record.to_dense() for path, record in records.items()}
    values = to_coefficients(to_weights(values, records, before), records, basis)
    for path, record in records.items():
        record.name, record.named = path, True
        record.use_basis(basis)
        record.set(np.ones(record.shape, bool))
        record.assign(values[path])
    if sparse_model.compiled and sparse_model.optimizer.built:
        for state in sparse_model.optimizer.kernel_states:
            for slot, initial in state.slots:
                slot.assign(np.full(slot.shape, initial))
    forget_traces(sparse_model)


def forget_traces(model: keras.Model) -> None:
    """Makes a model trace its functions again, which hold the basis as constants."""
    model.train_function = model.test_function = model.predict_function = None
