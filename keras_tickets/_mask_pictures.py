"""Pictures of the masks of a network's first kernel."""

import math

import numpy as np

LARGEST = 512


def mask_picture(mask: np.ndarray) -> np.ndarray:
    """How much of each input a kernel reads, or the mask itself where it is small.

    The kernel of a Dense layer on square images, gray or RGB, gives a picture of the image: for
    each pixel, the share of connections that are there. A convolution gives its filters side by
    side, the channels of the input above each other. Any other mask is drawn as a matrix, its last
    axis across.

    Args:
        mask: Boolean array of at least one axis.

    Returns:
        float32 array of shape (height, width), values in [0, 1]; no side above 512 pixels, larger
        masks being averaged in blocks.
    """
    if mask.ndim == 2:
        for channels in (1, 3):
            side = math.isqrt(len(mask) // channels)
            if side > 2 and side * side * channels == len(mask):
                return mask.reshape(side, side, -1).mean(2, dtype=np.float32)
    if mask.ndim == 4:
        return shrink(_filters(mask))
    return shrink(mask.reshape(-1, mask.shape[-1]).astype(np.float32))


def _filters(mask: np.ndarray) -> np.ndarray:
    """The filters of a convolution of shape (height, width, channels, filters), with gaps."""
    height, width, channels, filters = mask.shape
    tiles = np.full((channels, filters, height + 1, width + 1), np.nan, np.float32)
    tiles[:, :, :height, :width] = mask.transpose(2, 3, 0, 1)
    picture = tiles.transpose(0, 2, 1, 3).reshape(channels * (height + 1), filters * (width + 1))
    return np.nan_to_num(picture[:-1, :-1], nan=0.5)


def shrink(picture: np.ndarray, largest: int = LARGEST) -> np.ndarray:
    """The picture with no side above `largest`: means over blocks."""
    for axis in (0, 1):
        size = picture.shape[axis]
        if size > largest:
            starts = np.linspace(0, size, largest, endpoint=False).astype(int)
            sizes = np.diff([*starts, size])
            shape = [-1, 1] if axis == 0 else [1, -1]
            sums = np.add.reduceat(picture, starts, axis=axis)
            picture = sums / np.reshape(sizes, shape)
    return picture.astype(np.float32)
