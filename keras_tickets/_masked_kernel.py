"""`MaskedKernel`: the record of a kernel and its mask."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from keras_tickets.bases.basis import Basis, rotate, transposed
from keras_tickets.structures import Layout


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
        basis: The basis in which the variable holds the kernel, as coefficients, and in which the
            mask is. None: the variable holds the kernel itself.
    """

    name: str
    kernel: keras.Variable
    mask: keras.Variable
    sparsity: float
    layout: Layout
    first: FirstMask | None = None
    named: bool = False
    basis: Basis | None = None

    storage = "masked"

    def __post_init__(self):
        self.kernel.masked_kernel = self
        self.use_basis(self.basis)

    def use_basis(self, basis: Basis | None) -> None:
        """Takes the variable to hold coefficients in another basis. Values stay as they are."""
        self.basis = basis
        self._matrices = [] if basis is None else basis.matrices(self.name, self.shape)

    def to_weights(self, coefficients: tf.Tensor) -> tf.Tensor:
        """The kernel that has these coefficients, in graph."""
        return self._rotated(coefficients, transposed(self._matrices))

    def to_coefficients(self, weights: tf.Tensor) -> tf.Tensor:
        """The coefficients of a kernel, in graph."""
        return self._rotated(weights, self._matrices)

    def _rotated(self, values, matrices):
        if not matrices:
            return values
        cast = [m if m is None else tf.cast(m.astype(np.float32), values.dtype) for m in matrices]
        return rotate(keras.ops, values, cast)

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


def apply_mask(mask: tf.Tensor, values: tf.Tensor, elsewhere: float = 0.0) -> tf.Tensor:
    """`values` where the mask is `True`, a constant elsewhere, whatever `values` holds there."""
    constant = tf.fill(tf.shape(values), tf.cast(elsewhere, values.dtype))
    # Half the time of `tf.where`, which takes shapes that differ.
    return tf.raw_ops.Select(condition=mask, x=values, y=constant)
