"""`BatchSource`: the interface of a data set whose batches code of the user's draws."""

import inspect
from collections.abc import Iterable
from typing import Any, Protocol

import tensorflow as tf

from keras_tickets._checks import check_integer, check_text
from keras_tickets.data.generated import GeneratedBatches, steps_of
from keras_tickets.data.source import Source

MEMBERS = ("name", "inputs", "targets", "outputs", "examples", "train_batch", "test_batches")


class BatchSource(Protocol):
    """What a data set of your own has: seven members, of any class.

    A training batch is a function of (seed, epoch, index): whenever it is asked for, it is the
    same. That is what lets a run that was killed go on as if it had not been, bit for bit; loading
    draws the first batch twice and compares. Generators seeded with the three numbers, such as
    `np.random.default_rng([seed, epoch, index])`, are such functions; global random state is not.

    Attributes:
        name: Name for messages and summaries.
        inputs: `tf.TensorSpec` of the inputs of one example.
        targets: `tf.TensorSpec` of the targets of one example: integers are classes, one for each
            position that the shape has (and 0 or 1 where `outputs` is 1); booleans are yes or no;
            floats are numbers to predict.
        outputs: Number of outputs of a network for this data: classes, or numbers to predict.
        examples: Number of training examples in an epoch.

    Example:

    ```python
    import numpy as np
    import tensorflow as tf

    class Sums:
        name = "sums"
        inputs = tf.TensorSpec((8,), tf.float32)
        targets = tf.TensorSpec((), tf.float32)
        outputs = 1
        examples = 1000

        def train_batch(self, seed, epoch, index, size):
            x = np.random.default_rng([seed, epoch, index]).normal(size=(size, 8))
            return x, x.sum(1)

        def test_batches(self, size):
            x = np.random.default_rng(0).normal(size=(100, 8))
            for start in range(0, 100, size):
                yield x[start : start + size], x[start : start + size].sum(1)
    ```
    """

    name: str
    inputs: tf.TensorSpec
    targets: tf.TensorSpec
    outputs: int
    examples: int

    def train_batch(self, seed: int, epoch: int, index: int, size: int) -> tuple[Any, Any]:
        """Returns a training batch, as arrays.

        Args:
            seed: Seed of the run.
            epoch: Number of the epoch, from 0.
            index: Number of the batch in the epoch, from 0.
            size: Number of examples in it.

        Returns:
            (inputs, targets), of shapes (size, *inputs.shape) and (size, *targets.shape).
        """
        ...

    def test_batches(self, size: int) -> Iterable[tuple[Any, Any]]:
        """Returns the batches of the test set, in order.

        Args:
            size: Number of examples in a batch; the last may have fewer.
        """
        ...


class OwnSource(Source):
    """A `BatchSource` as a `Source`.

    Args:
        given: The user's object.

    Raises:
        TypeError: It lacks a member, or one is of the wrong type.
        ValueError: A number is out of range.
    """

    def __init__(self, given: Any):
        self._given = given
        kind = type(given).__name__
        if missing := [name for name in MEMBERS if not hasattr(given, name)]:
            raise TypeError(
                f"`dataset` must have {', '.join(MEMBERS)}, as kt.data.BatchSource says. Received: "
                f"an object of {kind} without {', '.join(missing)}"
            )
        self.name = check_text(f"{kind}.name", given.name)
        self.inputs, self.targets = given.inputs, given.targets
        for name in ("inputs", "targets"):
            check_spec(f"{kind}.{name}", getattr(given, name))
        self.outputs = check_integer(f"{kind}.outputs", given.outputs, low=1)
        self.examples = check_integer(f"{kind}.examples", given.examples, low=1)
        for name, arguments in (
            ("train_batch", ("seed", "epoch", "index", "size")),
            ("test_batches", ("size",)),
        ):
            _check_takes(kind, name, getattr(given, name), arguments)

    def load(
        self,
        *,
        batch_size: int,
        seed: int = 0,
        steps_per_epoch: int | None = None,
        validation: float = 0.0,
    ) -> GeneratedBatches:
        steps = steps_of(self, batch_size, steps_per_epoch, validation)

        def epoch(number):
            for index in range(steps):
                yield self._given.train_batch(seed=seed, epoch=number, index=index, size=batch_size)

        batches = GeneratedBatches(
            self,
            epoch,
            lambda: self._given.test_batches(size=batch_size),
            batch_size=batch_size,
            steps_per_epoch=steps,
        )
        if not first_batch_repeats(batches):
            raise ValueError(
                f"data set {self.name!r}: batch 0 of epoch 0 is another when it is drawn again. It "
                "must be a function of (seed, epoch, index), or a resumed run sees other data"
            )
        return batches


def check_spec(name: str, value: Any) -> None:
    """Checks that a description is a `tf.TensorSpec` of known shape and of numbers."""
    known = isinstance(value, tf.TensorSpec) and value.shape.is_fully_defined()
    if not known or not (value.dtype.is_floating or value.dtype.is_integer or value.dtype.is_bool):
        raise TypeError(
            f"`{name}` must be a tf.TensorSpec of numbers, with every axis of one example known. "
            f"Received: {name}={value!r}"
        )


def first_batch_repeats(batches: GeneratedBatches) -> bool:
    """Whether the first training batch is the same when it is drawn again; checks the test set."""
    _ = batches.test_steps
    first, again = (next(iter(batches.epoch(0))) for _ in range(2))
    return all(one.tobytes() == other.tobytes() for one, other in zip(first, again, strict=True))


def _check_takes(kind, name, function, arguments):
    try:
        inspect.signature(function).bind(**dict.fromkeys(arguments))
    except TypeError as error:
        raise TypeError(
            f"`{kind}.{name}` must be a method that takes {', '.join(arguments)}: {error}"
        ) from None
