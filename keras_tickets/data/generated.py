"""Batches that Python code of the user's makes, one after another."""

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from keras_tickets._checks import check_integer, check_number
from keras_tickets._epoch_order import LAST_EPOCH, prefetched
from keras_tickets.data.hold_out import nothing_held_out

_END = object()  # of the batches, whatever they are


class GeneratedBatches:
    """Training and test batches from functions; each batch is checked against the description.

    Args:
        source: What is described: a `Source`, for its name, inputs, targets and outputs.
        epoch: Called with the number of an epoch; gives at least `steps_per_epoch` batches
            (inputs, targets) of `batch_size` examples.
        test: Gives the batches of the test set, the last of which may be smaller.
        batch_size: Examples per training step.
        steps_per_epoch: Training batches per epoch.

    Attributes:
        failure: The error that ended the last iteration. TensorFlow reports it in words of its own.
        held_out: 0.
    """

    held_out = 0

    def __init__(
        self,
        source: Any,
        epoch: Callable[[int], Iterable],
        test: Callable[[], Iterable],
        *,
        batch_size: int,
        steps_per_epoch: int,
    ):
        self.name = source.name
        self.batch_size, self.steps_per_epoch = batch_size, steps_per_epoch
        self.failure: Exception | None = None
        self._source, self._make_epoch, self._make_test = source, epoch, test

    def train(self, start_epoch: int = 0) -> tf.data.Dataset:
        """Returns the training batches of all epochs from `start_epoch` on, without end."""
        check_integer("start_epoch", start_epoch, 0, LAST_EPOCH)

        def batches():
            for epoch in itertools.count(start_epoch):
                yield from self.epoch(epoch)

        return self._dataset(batches, self.batch_size, tf.data.INFINITE_CARDINALITY)

    def test(self) -> tf.data.Dataset:
        """Returns the test set once."""
        return self._dataset(self.test_batches, None, self.test_steps)

    def validation(self) -> tf.data.Dataset:
        """Raises `ValueError`: nothing is held out."""
        raise nothing_held_out(self.name)

    @functools.cached_property
    def test_steps(self) -> int:
        """Number of batches in the test set, all of which are drawn and checked for it."""
        return sum(1 for _ in self.test_batches())

    def epoch(self, epoch: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The checked batches of an epoch."""
        made = self._own(lambda: iter(self._make_epoch(epoch)), f"epoch {epoch}")
        for index in range(self.steps_per_epoch):
            where = f"batch {index} of epoch {epoch}"
            yield self._checked(self._next(made, where), where, self.batch_size)

    def test_batches(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The checked batches of the test set."""
        made, count = self._own(lambda: iter(self._make_test()), "the test set"), 0
        examples = 0
        while (batch := self._next(made, f"test batch {count}", _END)) is not _END:
            inputs, targets = self._checked(batch, f"test batch {count}", None)
            yield inputs, targets
            count, examples = count + 1, examples + len(targets)
        if not examples:
            raise ValueError(f"data set {self.name!r} has no test examples, in {count} batches")

    def _own(self, function, where, *arguments):
        try:
            return function(*arguments)
        except Exception as error:  # whatever the user's code raises
            raise self._failed(where, error) from error

    def _next(self, batches, where, *default):
        try:
            return next(batches, *default)
        except StopIteration:
            raise ValueError(
                f"data set {self.name!r} ended at {where}, and an epoch has "
                f"{self.steps_per_epoch} batches of {self.batch_size}"
            ) from None
        except Exception as error:  # whatever the user's code raises
            raise self._failed(where, error) from error

    def _failed(self, where, error):
        return ValueError(f"data set {self.name!r}, {where}: {type(error).__name__}: {error}")

    def _checked(self, batch, where, size):
        if not isinstance(batch, list | tuple) or len(batch) != 2:
            of = f" of {len(batch)}" if isinstance(batch, list | tuple) else ""
            raise ValueError(
                f"data set {self.name!r}, {where}: a batch must be (inputs, targets). Received: "
                f"{type(batch).__name__}{of}"
            )
        inputs, targets = (
            self._array(name, value, spec, f"{where}: ", size)
            for name, value, spec in zip(
                ("inputs", "targets"),
                batch,
                (self._source.inputs, self._source.targets),
                strict=True,
            )
        )
        if len(inputs) != len(targets):
            raise ValueError(
                f"data set {self.name!r}, {where}: {len(inputs)} inputs and {len(targets)} targets"
            )
        if targets.dtype.kind in "iu" and targets.size:
            most = max(self._source.outputs, 2) - 1
            if targets.min() < 0 or targets.max() > most:
                raise ValueError(
                    f"data set {self.name!r}, {where}: targets must be from 0 to {most}. Received: "
                    f"{int(targets.min())} to {int(targets.max())}"
                )
        return inputs, targets

    def _array(self, name, value, spec, where, size):
        array = self._own(np.asarray, f"{where}{name}", value)
        dtype = np.dtype(spec.dtype.as_numpy_dtype)
        shape = (len(array) if size is None and array.ndim else size, *spec.shape)
        if array.shape != shape or not np.can_cast(array.dtype, dtype, "same_kind"):
            size = "batch" if size is None else size
            raise ValueError(
                f"data set {self.name!r}, {where}{name} must be {dtype} of shape "
                f"({', '.join(map(str, (size, *spec.shape)))}). Received: {array.dtype} of shape "
                f"{array.shape}"
            )
        return array.astype(dtype, copy=False)

    def _dataset(self, batches, size, steps):
        def recorded():
            try:
                yield from batches()
            except Exception as error:
                self.failure = error
                raise

        specs = (self._source.inputs, self._source.targets)
        signature = tuple(tf.TensorSpec((size, *spec.shape), spec.dtype) for spec in specs)
        data = tf.data.Dataset.from_generator(recorded, output_signature=signature)
        return prefetched(data.apply(tf.data.experimental.assert_cardinality(steps)))


def steps_of(source: Any, batch_size: int, steps_per_epoch: int | None, validation: float) -> int:
    """Batches in an epoch of a source from which nothing can be held out.

    Raises:
        ValueError: An argument is out of range, or the source does not say how many examples it
            has and `steps_per_epoch` is None.
    """
    if check_number("validation", validation, "[0, 1)"):
        raise ValueError(
            f"`validation` must be 0 for data set {source.name!r}: its batches are made by code of "
            f"its own, and nothing can be held out of them. Received: validation={validation!r}"
        )
    check_integer("batch_size", batch_size, 1, source.examples)
    available = None if source.examples is None else source.examples // batch_size
    if steps_per_epoch is not None:
        return check_integer("steps_per_epoch", steps_per_epoch, 1, available)
    if available is None:
        raise ValueError(
            f"`steps_per_epoch` must be given for data set {source.name!r}, which does not say how "
            "many training examples it has. Received: steps_per_epoch=None"
        )
    return available
