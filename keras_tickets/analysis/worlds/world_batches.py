"""The batches that train a network in the real and in the ideal world."""

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_tickets.analysis.batches import Data, batches, check_iterable
from keras_tickets.trainers.epochs import Epochs

_TOO_FEW = "Input dataset was expected to contain"  # as TensorFlow puts it


def world_batches(
    name: str, data: Data, steps: int, *, again: bool, batch_size: int, seed: int
) -> tuple[tf.data.Dataset, int]:
    """The batches of a training, without end, and the number of examples in the first.

    Args:
        name: Name of the argument, for errors.
        data: `(x, y)` as arrays, a `tf.data.Dataset` of batches, or another iterable of batches.
        steps: Number of batches that are needed.
        again: Whether data that ends before is read again, as often as it takes. If not, that is an
            error: here, or, where the length is not known, in training (`too_few_reported`).
        batch_size: Size of the batches of arrays.
        seed: Seed of the order of arrays.

    Raises:
        TypeError: `data` is none of these.
        ValueError: There are no batches, or too few; they have no targets; or arrays differ in
            length.
    """
    if isinstance(data, tuple) and len(data) == 2:
        next(batches(data, batch_size), None)
        epochs = Epochs(*data, batch_size=batch_size, seed=seed)
        if not again:
            _check_enough(name, epochs.steps, steps)
        return epochs.batches(0), batch_size
    iterator = iter(check_iterable(data))
    first = next(iterator, None)
    size = _size(name, first)
    if isinstance(data, tf.data.Dataset):
        found = data
    elif iterator is data:
        found, again = _as_dataset(first, lambda: itertools.chain([first], iterator)), False
    else:
        found = _as_dataset(first, lambda: data)
    if not again:
        length = int(found.cardinality())
        if length >= 0:
            _check_enough(name, length, steps)
        found = found.take(steps).apply(tf.data.experimental.assert_cardinality(steps))
    return found.repeat(), size


@contextlib.contextmanager
def too_few_reported(name: str, steps: int) -> Iterator[None]:
    """Raises a `ValueError` that names the argument if its batches end in a training."""
    try:
        yield
    except tf.errors.FailedPreconditionError as error:
        if _TOO_FEW not in error.message:
            raise
        raise _too_few(name, f"fewer than {steps}", steps) from error


def _as_dataset(first, read):
    signature = keras.tree.map_structure(_spec, tuple(first))
    return tf.data.Dataset.from_generator(lambda: map(tuple, read()), output_signature=signature)


def _spec(part):
    tensor = tf.convert_to_tensor(part)
    return tf.TensorSpec((None, *tensor.shape[1:]), tensor.dtype)


def _size(name: str, first: Any) -> int:
    if first is None:
        raise ValueError(f"`{name}` has no batches.")
    _, y, _ = keras.utils.unpack_x_y_sample_weight(first)
    if y is None:
        raise ValueError(f"`{name}` must have targets: batches (x, y). Received: x alone")
    return len(np.asarray(y))


def _check_enough(name: str, length: int, steps: int) -> None:
    if length < steps:
        raise _too_few(name, str(length), steps)


def _too_few(name: str, found: str, steps: int) -> ValueError:
    return ValueError(
        f"`{name}` must have a batch for each of the {steps} steps, as it is read once. Received: "
        f"{found} batches"
    )
