"""Training data whose batches can be asked for from any epoch and any step on."""

import dataclasses
from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf

from keras_tickets._checks import check_integer

LAST_EPOCH = 2**31 - 1
DEFAULT_BATCH_SIZE = 32


@dataclasses.dataclass(frozen=True)
class Segment:
    """A call of `fit`: whole epochs, or a part of one.

    Attributes:
        first: Index of the first epoch.
        last: Index of the epoch after the last.
        skip: Batches of the first epoch that come before.
        steps: Batches in each epoch.
    """

    first: int
    last: int
    skip: int
    steps: int


class Epochs:
    """Batches in an order that is a function of the epoch.

    Args:
        x: A function from an epoch, from 0, to the `tf.data.Dataset` of the batches of all epochs
            from there on (`kt.data.Dataset.train` is one); or a `tf.data.Dataset` of one epoch; or
            an array, or a nested structure of arrays, of all examples.
        y: Array of the targets, where `x` is an array.
        batch_size: Examples in a batch, where `x` is an array; 32 by default. What is left over of
            an epoch is dropped.
        steps_per_epoch: Batches in an epoch; needed where `x` is a function.
        seed: Of the order, where `x` is an array.

    Attributes:
        steps: Batches in an epoch.

    Raises:
        ValueError: The number of batches in an epoch is not known, an argument is out of range,
            arrays differ in their number of examples, or arguments contradict.
    """

    def __init__(self, x, y=None, *, batch_size=None, steps_per_epoch=None, seed=0):
        for name, value in (("batch_size", batch_size), ("steps_per_epoch", steps_per_epoch)):
            if value is not None:
                check_integer(name, value, low=1)
        arrays = not callable(x) and not isinstance(x, tf.data.Dataset)
        if not arrays and (y is not None or batch_size is not None):
            raise ValueError(
                "`y` and `batch_size` belong to arrays; a data set has its own. Received: "
                f"x={x!r}, y={'None' if y is None else '...'}, batch_size={batch_size!r}"
            )
        if arrays:
            self._from, available = _shuffled(x, y, batch_size or DEFAULT_BATCH_SIZE, seed)
        elif isinstance(x, tf.data.Dataset):
            available = int(x.cardinality())
            self._from = None
        else:
            self._from, available = x, steps_per_epoch
        self.steps = steps_per_epoch or available
        if not self.steps or self.steps < 0:
            raise ValueError(
                "`steps_per_epoch` must be given: how many batches an epoch has cannot be told "
                f"from `x`. Received: steps_per_epoch={steps_per_epoch!r}"
            )
        if arrays and self.steps > available:
            raise ValueError(
                f"`steps_per_epoch` must be at most {available}, the batches that `x` has. "
                f"Received: steps_per_epoch={steps_per_epoch}"
            )
        if self._from is None:
            self._from = lambda epoch: x.take(self.steps).repeat()

    def batches(self, epoch: int, skip: int = 0) -> tf.data.Dataset:
        """The batches from an epoch on, without its first `skip`."""
        data = self._from(epoch)
        return data.skip(skip) if skip else data

    def segments(self, start: int, stop: int) -> Iterator[Segment]:
        """The calls of `fit` that train on the batches `start` to `stop`, counted from 0."""
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


def _shuffled(x, y, batch_size: int, seed: int) -> tuple[Callable, int]:
    """Batches of arrays in an order that is a function of (seed, epoch)."""
    data = (x,) if y is None else (x, y)
    tensors = keras.tree.map_structure(lambda array: tf.constant(np.asarray(array)), data)
    sizes = [int(tensor.shape[0]) for tensor in keras.tree.flatten(tensors)]
    if len(set(sizes)) > 1:
        raise ValueError(f"`x` and `y` must have as many examples. Received: {sizes}")
    size = sizes[0]
    steps = size // batch_size
    if not steps:
        raise ValueError(
            f"`batch_size` must be at most {size}, the number of examples. Received: "
            f"batch_size={batch_size}"
        )

    def order(epoch):
        indices = tf.random.experimental.stateless_shuffle(
            tf.range(size), tf.stack([seed, tf.cast(epoch, tf.int32)])
        )
        batches = tf.reshape(indices[: steps * batch_size], [steps, batch_size])
        return tf.data.Dataset.from_tensor_slices(batches)

    def gather(indices):
        return keras.tree.map_structure(lambda tensor: tf.gather(tensor, indices), tensors)

    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA

    def batches(epoch):
        data = tf.data.Dataset.range(epoch, LAST_EPOCH).flat_map(order)
        data = data.map(gather, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        return data.prefetch(tf.data.AUTOTUNE).with_options(options)

    return batches, steps
