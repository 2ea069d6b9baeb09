"""Batches of inputs and targets, from arrays or from a data set."""

from collections.abc import Iterable, Iterator
from typing import TypeAlias

import keras
import numpy as np

Data: TypeAlias = tuple[np.ndarray, np.ndarray] | Iterable


def batches(data: Data, batch_size: int) -> Iterator[tuple]:
    """Batches of inputs and targets, in order.

    Args:
        data: `(x, y)` as arrays, cut into batches; or an iterable of batches `(x, y)`, such as a
            `tf.data.Dataset`, which must give the same ones each time.
        batch_size: Size of the batches of arrays; the last one may be smaller.

    Yields:
        `(x, y)`.

    Raises:
        TypeError: `data` is neither.
        ValueError: `x` and `y` are of different lengths.
    """
    if isinstance(data, tuple) and len(data) == 2:
        x, y = data
        if len(x) != len(y):
            raise ValueError(
                f"`x` and `y` must have the same length. Received: {len(x)} and {len(y)}"
            )
        for start in range(0, len(x), batch_size):
            yield x[start : start + batch_size], y[start : start + batch_size]
    elif isinstance(data, Iterable) and not isinstance(data, (dict, str, np.ndarray)):
        for batch in data:
            x, y, _ = keras.utils.unpack_x_y_sample_weight(batch)
            yield x, y
    else:
        raise TypeError(
            "Data must be a tuple (x, y) of arrays or an iterable of batches (x, y). Received: an "
            f"object of class {type(data).__name__}"
        )
