"""Masks as small PNG pictures inside a page."""

import base64
import struct
import zlib
from collections.abc import Sequence

import numpy as np

from keras_tickets._mask_pictures import mask_picture, shrink

LARGEST = 64
_LEVELS = 15


def mask_images(masks: Sequence[np.ndarray]) -> list[tuple[str, int, int]]:
    """Pictures of masks of one kernel, the brightest pixel of all of them white.

    Args:
        masks: Boolean arrays.

    Returns:
        For each a PNG as a `data:` address, its width and its height.
    """
    pictures = [shrink(mask_picture(mask), LARGEST) for mask in masks]
    brightest = max(picture.max() for picture in pictures) or 1.0
    return [_image(picture / brightest) for picture in pictures]


def _image(picture):
    gray = np.round(np.round(picture * _LEVELS) * (255 / _LEVELS)).astype(np.uint8)
    height, width = gray.shape
    content = base64.b64encode(png(gray)).decode()
    return f"data:image/png;base64,{content}", width, height


def png(gray: np.ndarray) -> bytes:
    """A gray picture as the content of a PNG file.

    Args:
        gray: uint8 array of shape (height, width); 0 is black.

    References:
        - [PNG specification, section 5](https://www.w3.org/TR/png/#5DataRep)
    """
    height, width = gray.shape
    lines = np.hstack([np.zeros((height, 1), np.uint8), gray]).tobytes()  # no filter
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
