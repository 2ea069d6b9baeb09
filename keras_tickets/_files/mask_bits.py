"""Masks at one bit per weight, as stored in files."""

import math
from collections.abc import Sequence

import numpy as np


def pack_mask(mask: np.ndarray) -> np.ndarray:
    """Packs a mask to one bit per weight.

    Args:
        mask: Boolean array of any shape.

    Returns:
        uint8 vector of ⌈size / 8⌉ bytes: weights in C order, first weight in the highest bit.

    Example:

    ```python
    import numpy as np
    from keras_tickets._files.mask_bits import pack_mask, unpack_mask

    mask = np.eye(3, dtype=bool)
    bits = pack_mask(mask)
    assert bits.tolist() == [0b10001000, 0b10000000]
    assert (unpack_mask(bits, mask.shape) == mask).all()
    ```
    """
    return np.packbits(mask.astype(bool, copy=False))


def unpack_mask(bits: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Unpacks a mask packed by `pack_mask`.

    Args:
        bits: What `pack_mask` returned.
        shape: Shape of the mask.

    Returns:
        Boolean array of that shape.

    Raises:
        ValueError: `bits` do not fit a mask of this shape.
    """
    size = math.prod(shape)
    if bits.dtype != np.uint8 or bits.shape != (-(-size // 8),):
        raise ValueError(
            f"a mask of shape {tuple(shape)} has {-(-size // 8)} bytes of bits, got an array of "
            f"shape {bits.shape} and dtype {bits.dtype}"
        )
    return np.unpackbits(bits, count=size).reshape(tuple(shape)).astype(bool)
