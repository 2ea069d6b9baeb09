"""Training data whose batches can start at any epoch and any step."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_tickets._checks import check_integer
from keras_tickets._epoch_order import all_epochs, prefetched, shuffled_batches

DEFAULT_BATCH_SIZE = 32


@dataclasses.dataclass(frozen=True)
class Segment:
    """A call of `fit`: whole epochs, or a part of one.

    Attributes:
        first: Index of the first epoch.
        last: Index of the epoch after the last.
        skip: Number of batches of the first epoch to skip.
        steps: Batches in each epoch.
    """

    first: int
    last: int
    skip: int
    steps: int


class Epochs:
    """Batches in an order that is a function of the epoch.

    Args:
        x: A function that takes an epoch, counted from 0, and returns a `tf.data.Dataset` of the
            batches from that epoch on (such as `kt.data.Dataset.train`); or a `tf.data.Dataset` of
            one epoch; or an array, or a nested structure of arrays, of all examples.
        y: Array of the targets, if `x` is an array.
        batch_size: Examples in a batch, if `x` is an array; 32 by default. An incomplete batch at
            the end of an epoch is dropped.
        steps_per_epoch: Batches in an epoch; required if `x` is a function.
        seed: Seed of the order, if `x` is an array.

    Attributes:
        steps: Batches in an epoch.
        batch_size: Examples in a batch; `None` if unknown.

    Raises:
        ValueError: The number of batches in an epoch is not known, an argument is out of range,
            arrays differ in their number of examples, or arguments contradict each other.
    """

    def __init__(
        self,
        x: Any,
        y: Any = None,
        *,
        batch_size: int | None = None,
        steps_per_epoch: int | None = None,
        seed: int = 0,
    ):
        for name, value in (("batch_size", batch_size), ("steps_per_epoch", steps_per_epoch)):
            if value is not None:
                check_integer(name, value, low=1)
        self.batch_size = None
        if not callable(x) and not isinstance(x, tf.data.Dataset):
            examples = _Arrays(x, y)
            batch_size = self.batch_size = batch_size or DEFAULT_BATCH_SIZE
            self.steps = _steps(steps_per_epoch, examples.available(batch_size))
            self._from = lambda epoch: examples.batches(epoch, batch_size, self.steps, seed)
            return
        if y is not None or batch_size is not None:
            raise ValueError(
                "`y` and `batch_size` belong to arrays; a data set has its own. Received: "
                f"x={x!r}, y={'None' if y is None else '...'}, batch_size={batch_size!r}"
            )
        if isinstance(x, tf.data.Dataset):
            self.steps = _steps(steps_per_epoch, int(x.cardinality()))
            self._from = lambda epoch: x.take(self.steps).repeat()
        else:
            self.steps = _steps(steps_per_epoch, tf.data.UNKNOWN_CARDINALITY)
            self._from = x

    def batches(self, epoch: int, skip: int = 0) -> tf.data.Dataset:
        """Returns the batches from an epoch on, without the first `skip` batches."""
        data = self._from(epoch)
        return data.skip(skip) if skip else data

    def segments(self, start: int, stop: int) -> Iterator[Segment]:
        """Returns the calls of `fit` that train on batches `start` to `stop`, counted from 0."""
        while start < stop:
            epoch, skip = divmod(start, self.steps)
            whole = (stop - start) // self.steps if not skip else 0
            if whole:
                yield Segment(epoch, epoch + whole, 0, self.steps)
                start += whole * self.steps
            else:
                steps = min(self.steps - skip, stop - start)
                yield Segment(epoch, epoch + 1, skip, steps)
                start += steps


def _steps(steps_per_epoch: int | None, available: int) -> int:
    """Batches in an epoch: the requested number, checked against the available one if known."""
    if available < 0 and steps_per_epoch is None:
        raise ValueError(
            "`steps_per_epoch` must be given: how many batches an epoch has cannot be told from "
            "`x`. Received: steps_per_epoch=None"
        )
    if 0 <= available < (steps_per_epoch or 1):
        raise ValueError(
            f"`steps_per_epoch` must be at most {available}, the number of batches in `x`. "
            f"Received: steps_per_epoch={steps_per_epoch}"
        )
    return steps_per_epoch or available


class _Arrays:
    """Arrays of all examples."""

    def __init__(self, x, y):
        data = (x,) if y is None else (x, y)
        self._tensors = keras.tree.map_structure(lambda array: tf.constant(np.asarray(array)), data)
        sizes = [int(tensor.shape[0]) for tensor in keras.tree.flatten(self._tensors)]
        if len(set(sizes)) > 1:
            raise ValueError(
                f"`x` and `y` must have the same number of examples. Received: {sizes}"
            )
        self._size = sizes[0]

    def available(self, batch_size: int) -> int:
        """Number of batches of this size in an epoch."""
        if batch_size > self._size:
            raise ValueError(
                f"`batch_size` must be at most {self._size}, the number of examples. Received: "
                f"batch_size={batch_size}"
            )
        return self._size // batch_size

    def batches(self, epoch: int, batch_size: int, steps: int, seed: int) -> tf.data.Dataset:
        """The batches of all epochs from `epoch` on."""

        def make_epoch(epoch):
            batches = shuffled_batches(self._size, batch_size, steps, seed, epoch)
            return tf.data.Dataset.from_tensor_slices(batches)

        def gather(indices):
            return keras.tree.map_structure(
                lambda tensor: tf.gather(tensor, indices), self._tensors
            )

        data = all_epochs(epoch, make_epoch)
        data = data.map(gather, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        return prefetched(data)
