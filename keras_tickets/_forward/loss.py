"""The loss that a user gave, as a function of targets and outputs, and its mean over a batch."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

ALLOWED = "`loss` must be a Keras loss, the name of one, or a function of targets and outputs"


def check_loss(loss: Any) -> Callable:
    """The loss as a function of targets and outputs, as `compile` takes it.

    Args:
        loss: What the user gave.

    Raises:
        ValueError: Keras does not know it.
    """
    try:
        found = keras.losses.get(loss)
    except ValueError as error:
        raise ValueError(f"{ALLOWED}. Received: loss={loss!r}") from error
    if found is None:
        raise ValueError(f"{ALLOWED}. Received: loss=None")
    if isinstance(found, keras.losses.Loss):
        return found
    return _FunctionAsLoss(found, found.__module__.split(".")[0] != "keras")


def loss_of(model: keras.Model, loss: Callable | str | None) -> Callable:
    """`check_loss`, by default of the loss that a model was compiled with.

    Args:
        model: The model.
        loss: What the user gave; `None` for the model's own.

    Raises:
        ValueError: Keras does not know the loss; the model is not compiled, or with several.
    """
    if loss is not None:
        return check_loss(loss)
    own = keras.tree.flatten(getattr(model, "loss", None))
    if own == [None]:
        raise ValueError(f"{ALLOWED}, or the model must be compiled with one. Received: loss=None")
    if len(own) > 1:
        raise ValueError(
            f"{ALLOWED}: model {model.name!r} is compiled with one for each of its outputs. "
            "Received: loss=None"
        )
    return check_loss(own[0])


def mean_loss(loss: Callable, y: Any, outputs: Any) -> tf.Tensor:
    """The mean loss of the examples of a batch, as a scalar, also of a loss that adds them up.

    Args:
        loss: From `check_loss`.
        y: Targets.
        outputs: What the model returned.

    Raises:
        ValueError: There are several outputs, and the loss is not a function of them all.
    """
    first = keras.tree.flatten(outputs)[0]
    if outputs is not first and not getattr(loss, "of_all_outputs", False):
        shapes = [tuple(output.shape) for output in keras.tree.flatten(outputs)]
        raise ValueError(
            "The model must have one output, or `loss` must be a function of the targets and all "
            f"outputs. Received: outputs of shapes {', '.join(map(str, shapes))}"
        )
    value = tf.reduce_mean(loss(y, outputs))
    if getattr(loss, "reduction", None) == "sum":
        value /= tf.cast(tf.shape(first)[0], value.dtype)
    return value


class _FunctionAsLoss(keras.losses.Loss):
    """Gives a function targets in the dtype of the outputs; steps that are masked do not count."""

    def __init__(self, function, of_all_outputs):
        super().__init__(name="loss")
        self.call, self.of_all_outputs = function, of_all_outputs
