"""Masks and their kernels: how masks are drawn, counted, read and set."""

from collections.abc import Mapping

import keras
import numpy as np

from keras_tickets import _keras_compat
from keras_tickets._kernels.paths import weight_paths
from keras_tickets._masked_kernel import MaskedKernel
from keras_tickets._randomness import random_scores
from keras_tickets._sparse_storage.kernel import SparseKernel

__all__ = ["get_masks", "set_masks"]

MASKS = ("random", "magnitude", "ones")


def record_of(variable: keras.Variable) -> MaskedKernel | SparseKernel | None:
    """The record of a masked kernel; `None` for a variable that has no mask."""
    return getattr(variable, "masked_kernel", None)


def masked_kernels(model: keras.layers.Layer) -> list[MaskedKernel | SparseKernel]:
    """The masked kernels of a model, in layer order, each once.

    Args:
        model: Any Keras model or layer. One without `Sparse` layers has no masked kernels.

    Returns:
        The records. Their `kernel` and `mask` are the model's own variables.
    """
    found, seen = [], set()

    def walk(layer):
        if id(layer) in seen:
            return
        seen.add(id(layer))
        found.extend(getattr(layer, "masked_kernels", ()))
        for sublayer in _keras_compat.sublayers(layer):
            walk(sublayer)

    walk(model)
    return found


def whole_kernels(
    model: keras.layers.Layer, what: str, any_basis: bool = False
) -> dict[str, MaskedKernel]:
    """The masked kernels of a model, for what computes with kernels and masks as arrays.

    Args:
        model: As in `masked_kernels`.
        what: What needs them, as the subject of a sentence.
        any_basis: Whether kernels may be coefficients in another basis.

    Returns:
        `{kernel path: record}`, in layer order.

    Raises:
        ValueError: Some are stored sparsely, or are coefficients in another basis.
    """
    found = kernels_by_path(model)
    if not any_basis:
        refuse_coefficients(found, what)
    whole = {path: each for path, each in found.items() if isinstance(each, MaskedKernel)}
    if len(whole) < len(found):
        raise ValueError(
            f"{what} needs kernels with masks, and {sorted(set(found) - set(whole))} are stored "
            'sparsely. Use a model of `kt.sparsify(…, storage="masked")`, or `kt.strip` it first.'
        )
    return whole


def multiplied(kernel: keras.Variable, count: int) -> int:
    """How many weights a product with a kernel takes of which a mask leaves `count`.

    A kernel whose mask is over coefficients in another basis has no zeros itself.
    """
    record = record_of(kernel)
    return record.size if record is not None and record.basis is not None else count


def refuse_coefficients(records: Mapping[str, MaskedKernel | SparseKernel], what: str) -> None:
    """Raises an error if kernels are coefficients in another basis.

    Args:
        records: `{kernel path: record}`.
        what: What needs kernels themselves, as the subject of a sentence.
    """
    turned = {path: r.basis for path, r in records.items() if r.basis is not None}
    if turned:
        raise ValueError(
            f"{what} needs masks over weights, and {sorted(turned)} are masked in the basis "
            f"{next(iter(turned.values()))!r}. `kt.strip` gives the model with dense kernels."
        )


def sparsity_of_masks(model: keras.layers.Layer) -> float:
    """Share of zeros over the masked kernels of a model; 0 if there are none."""
    records = masked_kernels(model)
    size = sum(record.size for record in records)
    return 1.0 - sum(record.count() for record in records) / size if size else 0.0


def forget_first(model: keras.layers.Layer) -> None:
    """Makes the masks of a model final, so that no method replaces them at the start."""
    for record in masked_kernels(model):
        record.first = None


def kernels_by_path(model: keras.layers.Layer) -> dict[str, MaskedKernel | SparseKernel]:
    """The masked kernels of a model, by their paths in this model.

    Args:
        model: As in `masked_kernels`.

    Returns:
        `{kernel path: record}`, in layer order.
    """
    records = {id(record.kernel): record for record in masked_kernels(model)}
    return {
        path: records[id(variable)]
        for path, variable in weight_paths(model).items()
        if id(variable) in records
    }


def name_kernels(model: keras.layers.Layer) -> None:
    """Names masked kernels by their paths in this model, unless another model has named them.

    Random draws depend on these names, which stay when the layers become part of another model.
    """
    taken = set()
    for path, record in kernels_by_path(model).items():
        if not record.named or record.name in taken:
            record.name, record.named = path, True
        taken.add(record.name)


def initial_scores(name: str, kernel: keras.Variable, mask: str | None, seed: int) -> np.ndarray:
    """The scores by which an initial mask ranks the weights of a kernel.

    Args:
        name: Kernel path, or the name in the kernel's record.
        kernel: The kernel.
        mask: "random" or `None`; "magnitude"; or "ones", for which all scores are equal.
        seed: Non-negative integer, for "random".

    Returns:
        Array of the kernel's shape.
    """
    if mask in ("random", None):
        return random_scores(kernel.shape, name, seed, step=0).numpy()
    if mask == "magnitude":
        return np.abs(kernel.numpy().astype(np.float32))
    return np.zeros(tuple(kernel.shape), np.float32)


def get_masks(model: keras.Model) -> dict[str, np.ndarray]:
    """The masks of a sparse model.

    Args:
        model: A `kt.SparseModel`, or any Keras model with `kt.layers.Sparse` layers.

    Returns:
        `{kernel path: boolean array}`, in layer order.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    dense = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, name="fc")])
    masks = kt.get_masks(kt.sparsify(dense, 0.5))
    assert masks["fc/kernel"].sum() == 16
    ```
    """
    return {path: each.to_mask() for path, each in kernels_by_path(model).items()}


def set_masks(model: keras.Model, masks: Mapping[str, np.ndarray]) -> None:
    """Sets masks by kernel path, and sets kernels to 0 off them.

    Kernels that `masks` does not name keep their masks. In the middle of training, optimizer slots
    off the new masks return to their initial values.

    Args:
        model: A `kt.SparseModel`.
        masks: `{kernel path: array}`. An array has its kernel's shape, and is boolean or holds only
            0 and 1.

    Raises:
        TypeError: `masks` is not a dict.
        ValueError: A path is unknown, a shape differs, or a value is neither 0 nor 1. The model has
            not changed then.

    Example:

    ```python
    import keras
    import keras_tickets as kt
    import numpy as np

    layers = [keras.Input((4,)), keras.layers.Dense(4, name="fc")]
    model = kt.sparsify(keras.Sequential(layers), 0.5)
    kt.set_masks(model, {"fc/kernel": np.eye(4)})
    assert model.sparsity == 0.75
    ```
    """
    if not isinstance(masks, Mapping):
        raise TypeError(f"`masks` must be a dict {{kernel path: array}}. Received: {masks!r}")
    records = kernels_by_path(model)
    checked = {}
    for path, mask in masks.items():
        if path not in records:
            raise ValueError(
                f"`masks` names {path!r}, which is not a masked kernel of model {model.name!r}. "
                f"Its masked kernels: {list(records)}"
            )
        mask, shape = np.asarray(mask), records[path].shape
        if mask.shape != shape:
            raise ValueError(
                f"Mask {path!r} must have the shape of its kernel, {shape}. Received: shape="
                f"{mask.shape}"
            )
        if mask.dtype != bool and not np.isin(mask, (0, 1)).all():
            raise ValueError(f"Mask {path!r} must be boolean or hold only 0 and 1.")
        checked[path] = mask.astype(bool)
        records[path].check(checked[path])
    for path, mask in checked.items():
        records[path].set(mask)
    if hasattr(model, "rest"):
        model.rest()
