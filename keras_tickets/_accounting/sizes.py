"""Bytes of a model's weights in the formats that sparse kernels are stored in."""

import dataclasses
import math
from collections.abc import Callable, Iterable

import keras
import numpy as np
import tensorflow as tf

from keras_tickets._accounting.format_names import FORMAT_NAMES
from keras_tickets._kernels.axes import kernel_shape
from keras_tickets.structures import Layout

_INDEX = 4  # bytes of an index in CSR and CSC
_SPAN = 256  # positions that a difference of 8 bits reaches


@dataclasses.dataclass(frozen=True)
class StoredKernel:
    """What the size of a stored kernel depends on.

    Attributes:
        shape: Its shape as a matrix: all axes but the last together, and the last.
        nonzeros: Number of weights that a mask leaves.
        itemsize: Bytes of a weight.
        group: Number of positions from which the mask takes as many weights everywhere, such as the
            m of N:M; `None` for other masks.
        mask: The mask; `None` if it has not been drawn.
    """

    shape: tuple[int, int]
    nonzeros: int
    itemsize: int
    group: int | None = None
    mask: np.ndarray | None = None

    @property
    def size(self) -> int:
        """Number of weights, zeros included."""
        return math.prod(self.shape)


def stored_kernel(
    variable: keras.Variable, nonzeros: int, layout: Layout | None, mask: np.ndarray | None
) -> StoredKernel:
    """What the size of a model's kernel depends on.

    Args:
        variable: The kernel.
        nonzeros: Number of weights that a mask leaves.
        layout: How a structure divides the kernel; `None` if it is not known.
        mask: The mask; `None` if it has not been drawn.
    """
    shape = kernel_shape(variable)
    matrix = (math.prod(shape[:-1]), shape[-1])
    group = layout.units if layout is not None and layout.has_groups else None
    return StoredKernel(matrix, nonzeros, itemsize(variable), group, mask)


def itemsize(variable: keras.Variable) -> int:
    """Bytes of an element of a variable."""
    return tf.as_dtype(variable.dtype).size


def stored_sizes(kernels: Iterable[StoredKernel], others: int) -> dict[str, int]:
    """The bytes of a model by how its kernels with zeros are stored. The others are dense.

    Args:
        kernels: The kernels with masks.
        others: Bytes of all other weights.

    Returns:
        `{format: bytes}`: "dense"; "bit_mask", values and one bit for each position; "csr" and
        "csc", with indices of 32 bits; "n_of_m", values and their places within their groups, left
        out if a kernel with zeros has no groups; "deltas", values and 8 bits for the distance from
        the one before, with a zero in between where that is too far.
    """
    kernels = list(kernels)
    sizes = {}
    for name in FORMAT_NAMES:
        bytes_of = _BYTES_OF[name]
        found = [
            bytes_of(kernel) if kernel.nonzeros < kernel.size else _dense(kernel)
            for kernel in kernels
        ]
        known = [size for size in found if size is not None]
        if len(known) == len(found):
            sizes[name] = others + sum(known)
    return sizes


def _dense(kernel: StoredKernel) -> int:
    return kernel.size * kernel.itemsize


def _bit_mask(kernel: StoredKernel) -> int:
    return kernel.nonzeros * kernel.itemsize + -(-kernel.size // 8)


def _csr(kernel: StoredKernel) -> int:
    rows, _ = kernel.shape
    return kernel.nonzeros * (kernel.itemsize + _INDEX) + (rows + 1) * _INDEX


def _csc(kernel: StoredKernel) -> int:
    return _csr(dataclasses.replace(kernel, shape=kernel.shape[::-1]))


def _n_of_m(kernel: StoredKernel) -> int | None:
    if kernel.group is None:
        return None
    bits = math.ceil(math.log2(kernel.group))
    return kernel.nonzeros * kernel.itemsize + -(-kernel.nonzeros * bits // 8)


def _deltas(kernel: StoredKernel) -> int:
    return (kernel.nonzeros + _fillers(kernel)) * (kernel.itemsize + 1)


_BYTES_OF: dict[str, Callable[[StoredKernel], int | None]] = {
    "dense": _dense,
    "bit_mask": _bit_mask,
    "csr": _csr,
    "csc": _csc,
    "n_of_m": _n_of_m,
    "deltas": _deltas,
}


def _fillers(kernel: StoredKernel) -> int:
    """Zeros that are stored because the next weight is too far; expected ones without a mask."""
    if kernel.mask is not None:
        positions = np.flatnonzero(kernel.mask)
        gaps = np.diff(positions, prepend=-1)
        return int(((gaps - 1) // _SPAN).sum())
    return round(kernel.nonzeros * _expected_spans(kernel.size, kernel.nonzeros))


def _expected_spans(size: int, nonzeros: int) -> float:
    """The expected number of whole spans before one of the positions, all drawn at random.

    All distances are distributed alike. One is above d if all positions lie in `size - d` places.
    """

    def log_ways(places):
        return math.lgamma(places + 1) - math.lgamma(places - nonzeros + 1)

    total, places = 0.0, size - _SPAN
    while places >= nonzeros:
        probability = math.exp(log_ways(places) - log_ways(size))
        total += probability
        if probability < 1e-12 * total:
            break
        places -= _SPAN
    return total
