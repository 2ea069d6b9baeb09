"""Graphs of models with replaced layers."""

from collections.abc import Callable

import keras

from keras_tickets import _keras_compat
from keras_tickets._kernels.calls import fresh_call, tensor_arguments


def graph_of(
    model: keras.Model,
    convert: Callable[[keras.layers.Layer], keras.layers.Layer],
    convert_root: Callable[[keras.Model], keras.layers.Layer] | None = None,
    plain: bool = False,
):
    """Returns the graph of a model, with other layers in place of its own.

    Args:
        model: Built model. A subclassed model is a graph of a single layer.
        convert: Called once with each layer or operation; returns its replacement.
        convert_root: Called instead with a model that is a single layer.
        plain: Whether nested models of this package become models of Keras.

    Returns:
        The symbolic inputs and outputs, in the model's structure.

    Raises:
        ValueError: The call arguments of a subclassed model are not known.
    """
    if _keras_compat.is_graph(model):
        return _keras_compat.rebuild(model, convert, plain)
    call = fresh_call(model)
    outputs = (convert_root or convert)(model)(*call.args, **call.kwargs)
    inputs = tensor_arguments(call)
    return next(iter(inputs.values())) if len(inputs) == 1 else inputs, outputs
