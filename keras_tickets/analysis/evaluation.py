"""Errors and losses of a model with other values in place of its weights."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_tickets import _keras_compat
from keras_tickets._forward.loss import loss_of, mean_loss
from keras_tickets.analysis.batches import map_tensors


def labels_of(y: tf.Tensor, outputs: Any) -> tf.Tensor:
    """The classes of a batch, as int64 tensor of shape (batch,).

    Args:
        y: Targets: integers, or vectors in the shape of the outputs.
        outputs: What the model returned.

    Raises:
        ValueError: The outputs are not those of a classifier.
    """
    shape: tuple = getattr(outputs, "shape", ())
    if len(shape) != 2 or shape[-1] < 2:
        shapes = [tuple(output.shape) for output in keras.tree.flatten(outputs)]
        raise ValueError(
            "The model must have one output of shape (batch, classes), of two classes or more. "
            f"Received: outputs of shapes {', '.join(map(str, shapes))}"
        )
    labels = tf.argmax(y, axis=-1) if y.shape[1:] == shape[1:] else tf.reshape(y, [-1])
    return tf.cast(labels, tf.int64)


class Evaluation:
    """Evaluates a classifier, in inference mode, with other values in place of its variables.

    Args:
        model: Built classifier with one output of shape (batch, classes).
        variables: The variables whose values are given.
        loss: Keras loss, or its name; by default the one that the model was compiled with.

    Attributes:
        knows_loss: Whether there is one.
    """

    def __init__(
        self,
        model: keras.Model,
        variables: Sequence[keras.Variable],
        loss: Callable | str | None = None,
    ):
        self.knows_loss = loss is not None or getattr(model, "loss", None) is not None
        self._counts = _traced(
            model, list(variables), loss_of(model, loss) if self.knows_loss else None
        )

    def __call__(
        self, values: Sequence[tf.Tensor], data: Iterable[tuple], name: str = "data"
    ) -> tuple[float, float]:
        """The share of wrong answers and the mean loss, NaN if no loss is known.

        Args:
            values: The value of each variable.
            data: Batches `(x, y)`.
            name: What errors call the data.

        Raises:
            ValueError: There is no data, or it has no targets; the outputs have fewer than two
                classes.
        """
        wrong, total, size = 0, 0.0, 0
        for x, y in data:
            if y is None:
                raise ValueError(
                    f"Data {name!r} must have targets: batches (x, y). Received: x alone"
                )
            counts = self._counts(values, map_tensors(x), tf.convert_to_tensor(y))
            wrong, total, size = wrong + int(counts[0]), total + float(counts[1]), size + len(y)
        if not size:
            raise ValueError(f"Data {name!r} has no examples.")
        return wrong / size, total / size


def _traced(model, variables, loss):
    """A compiled function: number of wrong answers and sum of the loss, for values and a batch."""

    @tf.function(reduce_retracing=True, autograph=False)
    def evaluate(values, x, y):
        with _keras_compat.masked_scope(list(zip(variables, values, strict=True)), model):
            outputs = model(x, training=False)
        labels = labels_of(y, outputs)
        wrong = tf.reduce_sum(tf.cast(tf.argmax(outputs, axis=-1) != labels, tf.int64))
        if loss is None:
            return wrong, tf.constant(np.nan)
        size = tf.cast(tf.shape(outputs)[0], tf.float64)
        return wrong, tf.cast(mean_loss(loss, y, outputs), tf.float64) * size

    return evaluate
