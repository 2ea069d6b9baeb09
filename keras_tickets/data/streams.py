"""`stream`: a data set from functions of the user's that return `tf.data` data sets."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from keras_tickets._checks import check_integer, check_text
from keras_tickets._warnings import warn
from keras_tickets.data.generated import GeneratedBatches, steps_of
from keras_tickets.data.own import check_spec, first_batch_repeats
from keras_tickets.data.source import Source


def stream(
    train: Callable[[int, int], tf.data.Dataset],
    test: Callable[[], tf.data.Dataset],
    *,
    outputs: int | None = None,
    examples: int | None = None,
    name: str = "stream",
) -> Source:
    """A data set that `tf.data` reads while training goes on.

    A resumed run opens the epoch that it goes on with and sees what the uninterrupted run would
    have seen, as far as `train` is a function of seed and epoch: give `shuffle` a `seed` made of
    both and `reshuffle_each_iteration=False`, and keep maps deterministic. Loading opens the first
    epoch twice and warns where its first batch differs; then a resumed run goes on with the right
    epoch, in another order.

    Args:
        train: Called with `seed` and `epoch`; returns the single examples (inputs, targets) of an
            epoch, unbatched, at least as many as its batches need.
        test: Returns those of the test set.
        outputs: Number of classes, where targets are integers. Otherwise `None`.
        examples: Number of training examples in an epoch. None: unknown, and
            `train.steps_per_epoch` must say where an epoch ends.
        name: Name for messages and summaries.

    Returns:
        A `kt.data.Source`.

    Raises:
        TypeError: An argument is of the wrong type, or a function returns something else.
        ValueError: `outputs` is missing, or out of range.

    Example:

    ```python
    import tensorflow as tf
    import keras_tickets as kt

    def numbers(seed, epoch):
        data = tf.data.Dataset.range(60).shuffle(
            60, seed=1000 * seed + epoch, reshuffle_each_iteration=False
        )
        return data.map(lambda i: (tf.cast([i, i], tf.float32), i % 3))

    source = kt.data.stream(numbers, lambda: numbers(0, 0), outputs=3, examples=60)
    assert source.load(batch_size=10).steps_per_epoch == 6
    ```
    """
    return _Stream(train, test, outputs, examples, name)


class _Stream(Source):
    def __init__(self, train, test, outputs, examples, name):
        self.name = check_text("name", name)
        self.examples = None if examples is None else check_integer("examples", examples, low=1)
        for what, function in (("train", train), ("test", test)):
            if not callable(function):
                raise TypeError(
                    f"`{what}` must be a function; in a gin file, write its name with `@` and "
                    f"without parentheses. Received: {what}={function!r}"
                )
        self._train, self._test = train, test
        self.inputs, self.targets = self._specs(self._epoch(0, 0))
        found = self._checked("test", test()).element_spec
        if found != (self.inputs, self.targets):
            raise TypeError(
                "`test` must return examples like those of `train`: "
                f"{(self.inputs, self.targets)}. Received: {found}"
            )
        if self.targets.dtype.is_integer:
            self.outputs = check_integer("outputs", outputs, low=1)
        elif outputs is not None:
            raise ValueError(
                "`outputs` is for targets that are integers; these are "
                f"{self.targets.dtype.name}. Received: outputs={outputs!r}"
            )
        else:
            self.outputs = int(np.prod(self.targets.shape))

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
            data = self._epoch(seed, number).batch(batch_size, drop_remainder=True)
            return data.prefetch(tf.data.AUTOTUNE).as_numpy_iterator()

        def test():
            data = self._checked("test", self._test()).batch(batch_size)
            return data.prefetch(tf.data.AUTOTUNE).as_numpy_iterator()

        batches = GeneratedBatches(self, epoch, test, batch_size=batch_size, steps_per_epoch=steps)
        if not first_batch_repeats(batches):
            warn(
                f"Data set {self.name!r}: the first batch is another when epoch 0 is opened again. "
                "A resumed run goes on with the right epoch, in another order."
            )
        return batches

    def _epoch(self, seed, epoch):
        return self._checked("train", self._train(seed=seed, epoch=epoch))

    def _checked(self, what, data):
        if not isinstance(data, tf.data.Dataset):
            raise TypeError(
                f"`{what}` must return a tf.data.Dataset. Received: {type(data).__name__}"
            )
        return data

    def _specs(self, data):
        spec = data.element_spec
        if not isinstance(spec, tuple) or len(spec) != 2:
            raise TypeError(
                f"`train` must return examples (inputs, targets). Received: elements {spec!r}"
            )
        for name, one in zip(("inputs", "targets"), spec, strict=True):
            check_spec(name, one)
        return spec
