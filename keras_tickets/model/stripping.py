"""From a sparse model back to a plain Keras model."""

from collections.abc import Callable

import keras
import numpy as np

from keras_tickets import _keras_compat, masks
from keras_tickets._checks import check_model
from keras_tickets._kernels.calls import fresh_call
from keras_tickets._kernels.copies import copy_layer
from keras_tickets._kernels.find import all_kernels
from keras_tickets._kernels.graphs import graph_of
from keras_tickets._masked_kernel import MaskedKernel
from keras_tickets.layers._sparse_root import root_of
from keras_tickets.layers.fused_batch_normalization import FusedBatchNormalization
from keras_tickets.layers.sparse import Sparse
from keras_tickets.layers.sparse_dense import SparseDense
from keras_tickets.model.sparse_storage import dense_layer


def strip(sparse_model: keras.Model, *, in_place: bool = False) -> keras.Model:
    """Makes a plain Keras model, with zeros in its kernels, from a sparse one.

    Args:
        sparse_model: A `kt.SparseModel`; it is left as it is.
        in_place: Whether to use the model's own layers instead of copies, for models that cannot be
            copied.

    Returns:
        A Keras model with the same outputs and kernel paths. It is not compiled, and can be used
        and loaded without keras_tickets. Kernels that are masked in another basis become dense:
        their zeros are among their coefficients.

    Raises:
        TypeError: `sparse_model` is not a Keras 3 model.
        ValueError: A layer cannot be copied; a kernel that is stored sparsely is too large to be
            formed; or `in_place` is asked for, and the layers hold coefficients in another basis.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    dense = keras.Sequential([keras.Input((16,)), keras.layers.Dense(4)])
    plain = kt.strip(kt.sparsify(dense, 0.5))
    assert (plain.get_weights()[0] == 0).sum() == 32
    ```
    """
    check_model(sparse_model)
    return _strip(sparse_model, in_place, dense_layer)


def without_masks(sparse_model: keras.Model) -> keras.Model:
    """The model's own layers without masks; those that store kernels sparsely stay as they are.

    Raises:
        ValueError: There are masks inside other layers.
    """
    return _strip(sparse_model, True, None)


def _strip(sparse_model, in_place, from_stored):
    def finish(layer, wrapper):
        if isinstance(layer, SparseDense):
            return from_stored(layer) if from_stored else layer
        if isinstance(layer, FusedBatchNormalization):
            return copy_layer(layer, keras.layers.BatchNormalization)
        return layer if in_place else copy_layer(layer, called_as=wrapper)

    records = _masked(sparse_model)
    if in_place:
        masks.refuse_coefficients(records, "Using the model's own layers without masks")
    found = {path: each.to_mask() for path, each in records.items()}
    plain = unwrap(sparse_model, finish)
    if inside := masks.kernels_by_path(plain) if from_stored else _masked(plain):
        raise ValueError(
            f"Kernels {list(inside)} belong to Sparse layers inside other "
            "layers, which cannot be stripped. Wrap the outer layers instead."
        )
    for kernel in all_kernels(plain):
        if kernel.path in found:
            values, mask = kernel.variable.numpy(), found[kernel.path]
            if np.count_nonzero(values[~mask]):
                values = np.where(mask, values, np.zeros_like(values))
                kernel.variable.assign(values)
            if records[kernel.path].basis is not None:
                kernel.variable.assign(records[kernel.path].to_weights(values))
    return plain


def _masked(model) -> dict[str, MaskedKernel]:
    """The kernels with masks, by their paths."""
    records = masks.kernels_by_path(model).items()
    return {path: each for path, each in records if isinstance(each, MaskedKernel)}


def unwrap(
    sparse_model: keras.Model,
    finish: Callable[[keras.layers.Layer, keras.layers.Layer], keras.layers.Layer],
) -> keras.Model:
    """The model without its `Sparse` wrappers.

    Args:
        sparse_model: The model.
        finish: Function of a layer without its wrapper, and of the layer as it was before. What it
            returns takes the layer's place.
    """

    def convert(layer):
        return finish(layer.layer if isinstance(layer, Sparse) else layer, layer)

    if (root := root_of(sparse_model)) is not None:
        plain = convert(root)
        if _keras_compat.last_symbolic_call(plain) is None:
            # A model that was never called could not be made sparse again.
            call = fresh_call(root)
            plain(*call.args, **call.kwargs)
        return plain
    inputs, outputs = graph_of(sparse_model, convert, plain=True)
    plain = keras.Model(inputs, outputs, name=sparse_model.name)
    _keras_compat.copy_settings(sparse_model, plain)
    return plain
