"""Sets of weights of a kernel, small: packed bits of a mask, or positions of one without a mask."""

import numpy as np

from keras_tickets._files.mask_bits import pack_mask
from keras_tickets._masked_kernel import MaskedKernel
from keras_tickets._sparse_storage.kernel import SparseKernel


def active(record: MaskedKernel | SparseKernel) -> np.ndarray:
    """The weights that a kernel has now: bits, or positions if it is stored sparsely."""
    if isinstance(record, SparseKernel):
        return record.indices.numpy().astype(np.int64)
    return pack_mask(record.to_mask())


def count(weights: np.ndarray) -> int:
    """The number of weights in a set."""
    return int(np.unpackbits(weights).sum()) if weights.dtype == np.uint8 else weights.size


def common(a: np.ndarray, b: np.ndarray) -> int:
    """The number of weights in both of two sets of a kernel."""
    if a.dtype == np.uint8:
        return count(a & b)
    return np.intersect1d(a, b, assume_unique=True).size


def union(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The weights in either of two sets of a kernel."""
    return a | b if a.dtype == np.uint8 else np.union1d(a, b)
