"""Masks and their kernels: the record of both, and how masks are drawn, counted, read and set."""

import dataclasses
from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from keras_tickets import _keras_compat
from keras_tickets._kernels.paths import weight_paths
from keras_tickets._randomness import random_scores
from keras_tickets._sparse_storage.kernel import SparseKernel
from keras_tickets.structures import Layout

__all__ = ["get_masks", "set_masks"]

MASKS = ("random", "magnitude", "ones")


@dataclasses.dataclass
class FirstMask:
    """How a kernel's mask was first drawn; kept until the mask is set or trained.

    A mask that the user did not choose may be replaced when the method of training is known. So it
    is kept with the values that the kernel had before.

    Attributes:
        kind: One of `MASKS`.
        chosen: Whether the user asked for it.
        mask: The mask that was drawn, if it was not chosen.
        kernel: The whole kernel before the mask was applied, if it was not chosen.
    """

    kind: str
    chosen: bool
    mask: np.ndarray | None = None
    kernel: np.ndarray | None = None


@dataclasses.dataclass(eq=False)
class MaskedKernel:
    """A kernel and the mask that its `Sparse` layer keeps beside it.

    Attributes:
        name: The name that seeds random draws: the kernel's path in the model in which it was first
            masked. It is saved with the layer and does not change. `kernels_by_path` gives the
            kernel's path in a given model.
        kernel: Trainable variable; exactly 0 where the mask is `False`.
        mask: Non-trainable boolean variable of the kernel's shape.
        sparsity: Target share of zeros in [0, 1).
        layout: The sets of weights that the mask may leave.
        first: How the mask was first drawn; `None` if it has been set or trained since.
        named: Whether a model has given the kernel its name. If not, the layer alone has.
    """

    name: str
    kernel: keras.Variable
    mask: keras.Variable
    sparsity: float
    layout: Layout
    first: FirstMask | None = None
    named: bool = False

    storage = "masked"

    def __post_init__(self):
        self.kernel.masked_kernel = self

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the kernel."""
        return tuple(self.kernel.shape)

    @property
    def support(self) -> keras.Variable:
        """The variable that says which weights are there."""
        return self.mask

    def to_mask(self) -> np.ndarray:
        """The mask, as a boolean array of the kernel's shape."""
        return self.mask.numpy().astype(bool)

    def to_dense(self) -> np.ndarray:
        """The kernel, 0 off the mask."""
        values = self.kernel.numpy()
        return np.where(self.to_mask(), values, np.zeros_like(values))

    def check(self, mask: np.ndarray) -> None:
        """Does nothing: the kernel can have any mask of its shape."""

    def assign(self, kernel: np.ndarray) -> None:
        """Takes the values of a whole kernel."""
        self.kernel.assign(kernel)

    @property
    def size(self) -> int:
        """Number of weights."""
        return int(np.prod(self.kernel.shape))

    @property
    def target(self) -> int:
        """Number of weights that the target sparsity leaves."""
        return self.layout.count(self.sparsity)

    def count(self) -> int:
        """Number of weights that the mask leaves at present."""
        return int(np.count_nonzero(self.mask.numpy()))

    def rest(self) -> None:
        """Zeroes the kernel off the mask."""
        self.kernel.assign(np.where(self.mask.numpy(), self.kernel.numpy(), 0))

    def set(self, mask: np.ndarray) -> None:
        """Sets the mask and zeroes the kernel off it.

        Args:
            mask: Boolean array of the kernel's shape.
        """
        self.first = None
        self.mask.assign(mask)
        self.rest()

    def begin(self) -> None:
        """Zeroes the kernel off its first mask, and keeps a copy if the mask was not chosen."""
        if self.first is not None and not self.first.chosen and self.first.kernel is None:
            self.first.mask, self.first.kernel = self.mask.numpy(), self.kernel.numpy()
        self.rest()

    def begin_from(self, kind: str) -> None:
        """Replaces a first mask that the user did not choose.

        Args:
            kind: "ones" for all weights; anything else for the mask that was drawn.

        Raises:
            ValueError: The kernel has changed since the mask was drawn.
        """
        first = self.first
        if first is None or first.chosen or first.mask is None or first.kernel is None:
            return
        present, values = self.mask.numpy(), self.kernel.numpy()
        mask = np.ones_like(present) if kind == "ones" else first.mask
        if np.array_equal(present, mask):
            return
        if not np.array_equal(values, np.where(present, first.kernel, 0), equal_nan=True):
            raise ValueError(
                f"Kernel {self.name!r} has changed since its mask was drawn at random, and the "
                f'method starts from another mask: pass `mask="{kind}"` to `kt.sparsify`.'
            )
        self.mask.assign(mask)
        self.kernel.assign(np.where(mask, first.kernel, 0))


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


def whole_kernels(model: keras.layers.Layer, what: str) -> dict[str, MaskedKernel]:
    """The masked kernels of a model, for what computes with kernels and masks as arrays.

    Args:
        model: As in `masked_kernels`.
        what: What needs them, as the subject of a sentence.

    Returns:
        `{kernel path: record}`, in layer order.

    Raises:
        ValueError: Some are stored sparsely.
    """
    found = kernels_by_path(model)
    whole = {path: each for path, each in found.items() if isinstance(each, MaskedKernel)}
    if len(whole) < len(found):
        raise ValueError(
            f"{what} needs kernels with masks, and {sorted(set(found) - set(whole))} are stored "
            'sparsely. Use a model of `kt.sparsify(…, storage="masked")`, or `kt.strip` it first.'
        )
    return whole


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


def apply_mask(mask: tf.Tensor, values: tf.Tensor, elsewhere: float = 0.0) -> tf.Tensor:
    """`values` where the mask is `True`, a constant elsewhere, whatever `values` holds there."""
    constant = tf.fill(tf.shape(values), tf.cast(elsewhere, values.dtype))
    # Half the time of `tf.where`, which takes shapes that differ.
    return tf.raw_ops.Select(condition=mask, x=values, y=constant)
