"""Methods of layers that are `tf.function`s."""

import contextlib
import types
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from keras_tickets._keras_compat.layers import all_layers

_FUNCTION = tf.types.experimental.PolymorphicFunction


def inline_functions(layer: keras.layers.Layer) -> list[tuple[keras.layers.Layer, str, Any]]:
    """Makes methods of a layer, and of those inside it, that are `tf.function`s ordinary ones.

    A `tf.function` goes on with the values of variables that it was first traced with, whatever a
    scope puts in their place. What it computes becomes a part of what calls it.

    Args:
        layer: The layer.

    Returns:
        `(layer, name of the method, what the layer itself had by that name)`, `None` where it was
        its class that had it.
    """
    replaced = []
    for part in all_layers(layer):
        own = {name: each for name, each in vars(part).items() if isinstance(each, _FUNCTION)}
        of_class = {
            name: types.MethodType(function, part)
            for name, function in _functions_of_class(type(part)).items()
            if name not in vars(part)
        }
        for name, function in own.items():
            replaced.append((part, name, function))
            vars(part)[name] = _converted(function.python_function)
        for name, method in of_class.items():
            replaced.append((part, name, None))
            vars(part)[name] = _converted(method)
    return replaced


@contextlib.contextmanager
def inlined_functions(layer: keras.layers.Layer | None) -> Iterator[None]:
    """As `inline_functions`, until the context ends."""
    replaced = inline_functions(layer) if layer is not None else []
    try:
        yield
    finally:
        for part, name, before in replaced:
            if before is None:
                del vars(part)[name]
            else:
                vars(part)[name] = before


def _functions_of_class(cls: type) -> dict[str, Callable]:
    """`{name: the Python function}` of the methods that are `tf.function`s."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        found |= vars(base)
    return {name: f.python_function for name, f in found.items() if isinstance(f, _FUNCTION)}


def _converted(function):
    """What AutoGraph makes of a function or method, which a `tf.function` runs."""
    owner = getattr(function, "__self__", None)
    try:
        converted = tf.autograph.to_graph(getattr(function, "__func__", function))
    except Exception:  # its source is not known
        return function
    return converted if owner is None else types.MethodType(converted, owner)
