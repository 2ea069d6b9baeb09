"""Batches of inputs and targets, from arrays or from a data set."""

import operator
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

import keras
import numpy as np
import tensorflow as tf

Data: TypeAlias = tuple[Any, np.ndarray] | Iterable

_NO_WEIGHTS = "Data must be (x, y), or batches of them: sample weights would not count. Received:"


def map_tensors(x: Any) -> Any:
    """The inputs as tensors, in their structure."""
    return keras.tree.map_structure(tf.convert_to_tensor, x)


def without_targets(x: Any) -> Data:
    """The inputs as data if they are arrays; otherwise unchanged."""
    arrays = isinstance(x, (np.ndarray, dict)) or tf.is_tensor(x)
    return (x, np.zeros(len(keras.tree.flatten(x)[0]))) if arrays else x


def batches(data: Data, batch_size: int) -> Iterator[tuple]:
    """Batches of inputs and targets, in order.

    Args:
        data: `(x, y)` as arrays, which are split into batches (`x` may be a dict or a list of
            arrays for a model with several inputs); or an iterable of batches `(x, y)`, such as a
            `tf.data.Dataset`, which must give the same ones each time.
        batch_size: Size of the batches of arrays; the last one may be smaller.

    Yields:
        `(x, y)`.

    Raises:
        TypeError: `data` is neither of these.
        ValueError: `x` and `y` have different numbers of examples; or examples have weights.
    """
    if isinstance(data, tuple) and len(data) == 2:
        x, y = data
        y = y if hasattr(y, "shape") else np.asarray(y)
        parts = [*keras.tree.flatten(x), y]
        if not all(hasattr(part, "shape") and len(part.shape) for part in parts):
            raise TypeError(
                "`x` and `y` must be arrays, `x` in the structure that the model takes. "
                f"Received: x of class {type(x).__name__}, y of class {type(y).__name__}"
            )
        sizes = [len(part) for part in parts]
        if len(set(sizes)) > 1:
            raise ValueError(
                "All arrays in `x` and `y` must have the same length. "
                f"Received: {', '.join(map(str, sizes))}"
            )
        for start in range(0, sizes[0], batch_size):
            chosen = slice(start, start + batch_size)
            yield keras.tree.map_structure(operator.itemgetter(chosen), x), y[chosen]
    else:
        if isinstance(data, tuple) and len(data) == 3 and hasattr(data[1], "shape"):
            raise ValueError(f"{_NO_WEIGHTS} arrays (x, y, sample_weight); pass (x, y).")
        for batch in check_iterable(data):
            x, y, weights = keras.utils.unpack_x_y_sample_weight(batch)
            if weights is not None:
                raise ValueError(
                    f"{_NO_WEIGHTS} batches (x, y, sample_weight); drop them, "
                    "`data.map(lambda x, y, w: (x, y))`."
                )
            yield x, y


def check_iterable(data: Any) -> Iterable:
    """The data, as an iterable of batches.

    Args:
        data: What the user gave, unless it is a tuple `(x, y)`.

    Raises:
        TypeError: It is no iterable of batches.
    """
    if not isinstance(data, Iterable) or isinstance(data, (dict, str, np.ndarray)):
        raise TypeError(
            "Data must be a tuple (x, y) of arrays, or an iterable of batches (x, y). Received: an "
            f"object of class {type(data).__name__}"
        )
    return data
