"""Data sets by name, and everything that may stand for one, as a `Source`."""

import inspect
from typing import Any

import tensorflow as tf

from keras_tickets._checks import check_one_of
from keras_tickets.data import registry
from keras_tickets.data.own import MEMBERS, OwnSource
from keras_tickets.data.source import Batches, Source


class NamedSource(Source):
    """A data set of `kt.data.DATASETS`.

    Args:
        name: Its name.

    Raises:
        ValueError: The name is unknown.
    """

    def __init__(self, name: str):
        check_one_of("dataset", name, tuple(registry.DATASETS))
        known = registry.describe(name)
        self.name = name
        self.inputs = tf.TensorSpec(known.input_shape, tf.float32)
        self.targets = tf.TensorSpec((), tf.int32)
        self.outputs = known.classes
        self.examples = known.examples
        self.repeats = not known.augment and not known.streamed

    def load(
        self,
        *,
        batch_size: int,
        seed: int = 0,
        steps_per_epoch: int | None = None,
        validation: float = 0.0,
    ) -> Batches:
        return registry.load(
            self.name,
            batch_size,
            seed=seed,
            steps_per_epoch=steps_per_epoch,
            validation=validation,
        )


def as_source(value: Any) -> Source:
    """The `Source` that a name or an object stands for.

    Args:
        value: A name of `kt.data.DATASETS`, a `Source`, or an object as `kt.data.BatchSource` says.

    Raises:
        TypeError: It is none of these.
        ValueError: The name is unknown.
    """
    if isinstance(value, str):
        return NamedSource(value)
    if isinstance(value, Source):
        return value
    if inspect.isclass(value) or not any(hasattr(value, name) for name in MEMBERS[1:]):
        raise TypeError(
            f"`dataset` must be one of {tuple(registry.DATASETS)}, or an object as "
            "kt.data.BatchSource says; in a gin file, write the name of a function or class with "
            f"`@` and parentheses. Received: dataset={value!r}"
        )
    return OwnSource(value)
