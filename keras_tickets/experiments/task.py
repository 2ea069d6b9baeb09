"""What is learned: the kind of targets, the loss and metrics for it, and whether a model fits."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_tickets import _keras_compat, losses, metrics
from keras_tickets.data import Source

CLASSES, YES_OR_NO, NUMBERS = "classes", "yes or no", "numbers"
# A loss that pairs each target with one output, and their dtype.
_CLASS_LOSS = keras.losses.SparseCategoricalCrossentropy


def kind_of(source: Source) -> str:
    """What the targets of a data set are: classes, yes or no, or numbers."""
    if source.targets.dtype.is_floating:
        return NUMBERS
    return YES_OR_NO if source.targets.dtype.is_bool or source.outputs == 1 else CLASSES


def loss_for(source: Source, given: Any, label_smoothing: float = 0.0) -> Callable:
    """The loss: an instance of a Keras loss, or a function.

    Args:
        source: The data set.
        given: None for the usual one of its targets, on logits; a name of Keras's; a function, a
            loss, or a class of losses.
        label_smoothing: Share of the labels that the usual loss of classes spreads over all.

    Raises:
        TypeError: `given` is none of these.
        ValueError: Keras knows no loss of this name, or there are no labels to smooth.
    """
    if label_smoothing:
        if given is not None or kind_of(source) != CLASSES:
            raise ValueError(
                "`label_smoothing` is of the usual loss of classes: leave `loss` unset, or smooth "
                f"in a loss of your own. Received: label_smoothing={label_smoothing!r} with "
                f"loss={given!r} and targets that are {kind_of(source)}"
            )
        return losses.SmoothedLabels(label_smoothing)
    if given is None:
        usual = {
            CLASSES: lambda: _CLASS_LOSS(from_logits=True),
            YES_OR_NO: lambda: keras.losses.BinaryCrossentropy(from_logits=True),
            NUMBERS: keras.losses.MeanSquaredError,
        }
        return usual[kind_of(source)]()
    return _get("loss", given, keras.losses.get, keras.losses.Loss)


def metrics_for(source: Source, given: Sequence[Any] | None, loss: Callable) -> list[Any]:
    """The metrics, made anew: under the scope of a strategy their variables belong to it.

    Args:
        source: The data set.
        given: None for the usual ones of its targets; or names of Keras's, functions and classes.
        loss: The loss, which says whether outputs are logits.

    Raises:
        TypeError: `given` is something else.
        ValueError: Keras knows no metric of a name, or it is of other targets.
    """
    if given is None:
        given = ["mean_absolute_error"] if kind_of(source) == NUMBERS else ["accuracy"]
    if kind_of(source) == NUMBERS and "accuracy" in given:
        raise ValueError(
            f"`metrics`: accuracy is of classes, and data set {source.name!r} has numbers to "
            "predict"
        )
    logits = kind_of(source) == YES_OR_NO and getattr(loss, "from_logits", False)
    return [
        metrics.LogitAccuracy() if logits and one == "accuracy" else _metric(one) for one in given
    ]


def check_metrics(given: Any) -> None:
    """Checks the setting before there is a data set."""
    if given is None:
        return
    if not isinstance(given, list | tuple):
        raise TypeError(f"`metrics` must be a list. Received: metrics={given!r}")
    for one in given:
        if isinstance(one, keras.metrics.Metric) or not (isinstance(one, str) or callable(one)):
            raise TypeError(
                "`metrics` must be names, functions and classes; in a gin file, write `@` without "
                f"parentheses: each training makes its own. Received: {one!r}"
            )
        if isinstance(one, str):
            _metric(one)


def _metric(given: Any) -> Any:
    if given in ("accuracy", "acc", "crossentropy", "ce"):  # Keras chooses by shapes
        return given
    return _get("metrics", given, keras.metrics.get, keras.metrics.Metric)


def _get(name, given, find, base):
    if isinstance(given, str):
        try:
            return find(given)
        except ValueError:
            raise ValueError(f"`{name}`: Keras has no {given!r}") from None
    if inspect.isclass(given) and issubclass(given, base):
        return given()
    if not callable(given) or inspect.isclass(given):
        raise TypeError(
            f"`{name}` must be a name of Keras's, a function or a class of {base.__name__}; in a "
            f"gin file, write its name with `@`. Received: {name}={given!r}"
        )
    return given


def check_fits(
    source: Source, model: keras.Model, loss: Callable, metrics: Sequence[Any] = ()
) -> None:
    """Checks that a model takes the inputs of a data set, and that its loss takes both.

    Args:
        source: The data set.
        model: Built model; what is not a graph of layers is not looked into.
        loss: The loss.
        metrics: The setting; those that are functions are tried.

    Raises:
        ValueError: A shape or dtype does not fit.
    """
    inputs, outputs = getattr(model, "inputs", None), getattr(model, "outputs", None)
    if not inputs or not outputs:
        return
    _check(
        len(inputs) == len(outputs) == 1,
        "`model` must have one input and one output, as data sets have. Received: a model of "
        f"{len(inputs)} and {len(outputs)}",
    )
    takes, gives = tuple(inputs[0].shape[1:]), tuple(outputs[0].shape[1:])
    _check(
        len(takes) == len(source.inputs.shape)
        and all(a in (None, b) for a, b in zip(takes, source.inputs.shape, strict=True)),
        f"`model` takes inputs of shape {takes}, and data set {source.name!r} has "
        f"{tuple(source.inputs.shape)}",
    )
    has = (
        f"data set {source.name!r} has targets {source.targets.dtype.name} of shape "
        f"{tuple(source.targets.shape)}"
    )
    _check_shapes(source, gives, loss, has)
    for what, function in [("loss", loss), *(("metrics", one) for one in metrics)]:
        if callable(function) and not inspect.isclass(function) and None not in gives:
            words = f"`{what}` {_name(function)} does not fit: {has}, the model outputs {gives}"
            _check_call(source, gives, function, words)


def check_loads(model: keras.Model) -> None:
    """Checks that what the run saves can be loaded: Keras finds classes of others by registration.

    Args:
        model: Built model.

    Raises:
        ValueError: Keras would not find the class of a layer.
    """
    for layer in _keras_compat.all_layers(model):
        kind = type(layer)
        name = keras.saving.get_registered_name(kind)
        ours = kind.__module__.partition(".")[0] in ("keras", "keras_tickets")
        if not ours and keras.saving.get_registered_object(name) is None:
            raise ValueError(
                f"`model` has a layer of class {kind.__name__}, which Keras would not find when "
                "the trained model is loaded: define it in the module that the configuration "
                "imports, or decorate it with @keras.saving.register_keras_serializable()"
            )


def _check_shapes(source, gives, loss, has):
    """Checks what a loss of Keras's needs; it would broadcast other shapes."""
    kind, targets = _name(loss), tuple(source.targets.shape)
    if isinstance(loss, _CLASS_LOSS) or kind == "sparse_categorical_crossentropy":
        _check(source.targets.dtype.is_integer, f"`loss` {kind} takes classes, and {has}")
        _check(
            bool(gives)
            and _same(gives[:-1], targets)
            and (gives[-1] is None or gives[-1] >= source.outputs),
            f"`model` must have outputs of shape {(*targets, source.outputs)}, one for each class: "
            f"{has}, from 0 to {source.outputs - 1}. Received: outputs of shape {gives}",
        )
    elif loss.__module__.startswith("keras.") and kind != "CTC":
        _check(
            _same(gives, targets) or _same(gives, (*targets, 1)),
            f"`model` must have outputs of the shape of the targets for `loss` {kind}, and {has}. "
            f"Received: outputs of shape {gives}",
        )


def _check_call(source, gives, loss, words):
    """Computes a loss or metric once, of zeros."""
    targets = np.zeros((2, *source.targets.shape), source.targets.dtype.as_numpy_dtype)
    outputs = np.zeros((2, *gives), "float32")
    try:
        value = tf.convert_to_tensor(loss(tf.constant(targets), tf.constant(outputs)))
        numbers = value.dtype.is_floating or value.dtype.is_integer or value.dtype.is_bool
        problem = "" if numbers else f"it gives {value!r}"
    except Exception as error:  # whatever the user's function, or Keras, raises
        problem = f"{type(error).__name__}: {error}"
    _check(not problem, f"{words}: {problem}")


def _same(shape, other):
    pairs = zip(shape, other, strict=False)
    return len(shape) == len(other) and all(a is None or a == b for a, b in pairs)


def _name(function):
    return getattr(function, "__name__", type(function).__name__)


def _check(holds, words):
    if not holds:
        raise ValueError(words)
