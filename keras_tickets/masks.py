"""A mask beside its kernel: the record, drawing masks, counting, reading and setting them."""

import dataclasses
from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from keras_tickets import _keras_compat
from keras_tickets._randomness import random_scores
from keras_tickets.structures import Layout

MASKS = ("random", "magnitude", "ones")


@dataclasses.dataclass(eq=False)
class MaskedKernel:
    """A kernel and the mask that the layers' `Sparse` wrapper keeps beside it.

    Attributes:
        path: Kernel path, as in `kt.get_masks`.
        kernel: Trainable variable; exactly 0 where the mask is `False`.
        mask: Non-trainable boolean variable of the kernel's shape.
        sparsity: Target share of zeros in [0, 1).
        layout: The sets of weights that the mask may leave.
    """

    path: str
    kernel: keras.Variable
    mask: keras.Variable
    sparsity: float
    layout: Layout

    def __post_init__(self):
        self.kernel.masked_kernel = self

    @property
    def size(self) -> int:
        """Number of weights."""
        return int(np.prod(self.kernel.shape))

    @property
    def target(self) -> int:
        """Number of weights that the target sparsity leaves."""
        return self.layout.count(self.sparsity)

    def count(self) -> int:
        """Number of weights that the mask leaves now."""
        return int(np.count_nonzero(self.mask.numpy()))

    def set(self, mask: np.ndarray) -> None:
        """Sets the mask and zeroes the kernel off it.

        Args:
            mask: Boolean array of the kernel's shape.
        """
        self.mask.assign(mask)
        self.kernel.assign(np.where(mask, self.kernel.numpy(), 0))


def record_of(variable: keras.Variable) -> MaskedKernel | None:
    """The record of a masked kernel; `None` for a variable that has no mask."""
    return getattr(variable, "masked_kernel", None)


def masked_kernels(model: keras.Model) -> list[MaskedKernel]:
    """The masked kernels of a model, in layer order, each once.

    Args:
        model: Any Keras model or layer; one without `Sparse` layers has none.

    Returns:
        The records; their `kernel` and `mask` are the model's own variables.
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


def initial_scores(path: str, kernel: keras.Variable, mask: str, seed: int) -> np.ndarray:
    """The scores by which an initial mask ranks the weights of a kernel.

    Args:
        path: Kernel path.
        kernel: The kernel.
        mask: `"random"` or `"magnitude"`; with `"ones"` nothing is ranked and all scores are equal.
        seed: Non-negative integer, for `"random"`.

    Returns:
        Array of the kernel's shape.
    """
    if mask == "random":
        return random_scores(kernel.shape, path, seed, step=0).numpy()
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
    return {record.path: record.mask.numpy().astype(bool) for record in masked_kernels(model)}


def set_masks(model: keras.Model, masks: Mapping[str, np.ndarray]) -> None:
    """Sets masks by kernel path, and zeroes the kernels off them.

    Kernels that `masks` does not name keep theirs. In the middle of training, optimizer slots off
    the new masks return to their initial value.

    Args:
        model: A `kt.SparseModel`.
        masks: `{kernel path: array}`, each of its kernel's shape, boolean or of 0 and 1.

    Raises:
        ValueError: A path is unknown, a shape differs, or a value is neither 0 nor 1; the model is
            then left as it was.

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
    records = {record.path: record for record in masked_kernels(model)}
    checked = {}
    for path, mask in masks.items():
        if path not in records:
            raise ValueError(
                f"`masks` names {path!r}, which is not a masked kernel of model {model.name!r}. "
                f"Its masked kernels: {list(records)}"
            )
        mask, shape = np.asarray(mask), tuple(records[path].kernel.shape)
        if mask.shape != shape:
            raise ValueError(f"Mask {path!r} has shape {mask.shape}; its kernel has {shape}.")
        if mask.dtype != bool and not np.isin(mask, (0, 1)).all():
            raise ValueError(f"Mask {path!r} must be boolean or hold only 0 and 1.")
        checked[path] = mask.astype(bool)
    for path, mask in checked.items():
        records[path].set(mask)
    if hasattr(model, "rest"):
        model.rest()


def apply_mask(mask: tf.Tensor, values: tf.Tensor, elsewhere: float = 0.0) -> tf.Tensor:
    """`values` where the mask is `True`, a constant elsewhere, whatever `values` holds there."""
    return tf.where(mask, values, tf.cast(elsewhere, values.dtype))
