"""A kernel stored as values and positions: the counterpart of `MaskedKernel`."""

from collections.abc import Sequence

import keras
import numpy as np

from keras_tickets._sparse_storage.positions import check_positions, mask_of, spread


class SparseKernel:
    """A kernel of shape (inputs, units) of which only the nonzero weights are stored.

    It has the interface of `MaskedKernel`. Nothing off the mask exists, so there is nothing to put
    to rest, and the number of weights never changes.

    Args:
        name: The name that seeds random draws, as in `MaskedKernel`.
        kernel: Trainable variable of shape (count,): the values.
        indices: Non-trainable int64 variable of the same shape: their flat row-major positions,
            `input * units + unit`, ascending, each once.
        shape: Inputs and units.
        sparsity: Share of zeros in [0, 1).
        named: Whether `name` is of a model, and not of a layer alone.

    Attributes:
        slots: `(variable, initial value)` of an optimizer, each of the shape of the values: what
            follows them when positions are set.
    """

    storage = "sparse"
    basis = None

    def __init__(
        self,
        name: str,
        kernel: keras.Variable,
        indices: keras.Variable,
        shape: tuple[int, int],
        sparsity: float,
        named: bool = False,
    ):
        self.name, self.named = name, named
        self.kernel, self.indices, self.shape = kernel, indices, shape
        self.sparsity = sparsity
        self.first = None
        self.slots: Sequence[tuple[keras.Variable, float]] = ()
        kernel.masked_kernel = self
        kernel.kernel_shape = shape
        indices.is_support = True

    @property
    def size(self) -> int:
        """Number of weights of the whole kernel, zeros included."""
        return self.shape[0] * self.shape[1]

    @property
    def target(self) -> int:
        """Number of weights that are held."""
        return self.count()

    def count(self) -> int:
        """Number of weights that are held."""
        return int(self.kernel.shape[0])

    @property
    def support(self) -> keras.Variable:
        """The variable that says which weights are there."""
        return self.indices

    def to_mask(self) -> np.ndarray:
        """The mask, as a boolean array of the kernel's shape."""
        return mask_of(self.indices.numpy(), self.shape)

    def to_dense(self) -> np.ndarray:
        """The whole kernel, 0 off the mask."""
        return spread(self.kernel.numpy(), self.indices.numpy(), self.shape)

    def check(self, mask: np.ndarray) -> None:
        """Raises an error where the kernel cannot have a mask of its shape."""
        if (given := np.count_nonzero(mask)) != self.count():
            raise ValueError(
                f"Kernel {self.name!r} is stored sparsely and always has {self.count()} weights. "
                f"Received: a mask of {given}"
            )

    def set(self, mask: np.ndarray) -> None:
        """Sets the mask. Weights that it adds are 0, and their slots begin anew.

        Args:
            mask: Boolean array of the kernel's shape, with as many weights as there are.
        """
        self.move(np.flatnonzero(mask))

    def move(self, positions: np.ndarray) -> None:
        """Sets the positions. Weights that come are 0, and their slots begin anew.

        Args:
            positions: As `indices`.
        """
        positions = check_positions(positions, self.shape, self.count())
        old = self.indices.numpy()
        place = np.minimum(np.searchsorted(old, positions), old.size - 1)
        stays = old[place] == positions
        for variable, initial in ((self.kernel, 0.0), *self.slots):
            values = variable.numpy()
            variable.assign(np.where(stays, values[place], values.dtype.type(initial)))
        self.indices.assign(positions)

    def assign(self, kernel: np.ndarray) -> None:
        """Takes the values at its positions from a whole kernel."""
        self.kernel.assign(np.reshape(kernel, -1)[self.indices.numpy()])

    def rest(self) -> None:
        """Does nothing: there is nothing off the mask."""

    def begin(self) -> None:
        """Does nothing: there is nothing off the mask."""
