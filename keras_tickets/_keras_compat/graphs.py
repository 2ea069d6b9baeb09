"""Graphs of models: operations, calls, inputs and outputs."""

import contextlib
from collections.abc import Iterator

import keras
import tensorflow as tf
from keras.src import backend, tree
from keras.src.export.export_utils import get_input_signature, make_tf_tensor_spec
from keras.src.models.functional import Functional
from keras.src.ops import nn as nn_operations
from keras.src.ops import numpy as numpy_operations

from keras_tickets._keras_compat.layers import adopt_call_of, input_like

# What `a + b` and functions such as `keras.ops.relu` become in the graph of a functional model.
MERGING_OPERATIONS = {
    keras.layers.Add: numpy_operations.Add,
    keras.layers.Subtract: numpy_operations.Subtract,
    keras.layers.Multiply: numpy_operations.Multiply,
    keras.layers.Maximum: numpy_operations.Maximum,
    keras.layers.Minimum: numpy_operations.Minimum,
}


ELEMENTWISE_OPERATIONS = (
    nn_operations.Relu,
    nn_operations.Relu6,
    nn_operations.Sigmoid,
    nn_operations.Silu,
    nn_operations.Gelu,
    nn_operations.Elu,
    nn_operations.LeakyRelu,
    numpy_operations.Tanh,
)


class DelegatingFunctional(Functional):
    """A functional model that, asked to, is called just as its one layer is.

    Functional models cast what they are called with to the dtypes of their inputs and take one
    argument. A model that stands for a subclassed one passes everything on as it comes.
    """

    _delegate = None

    def delegate_to(self, layer: keras.layers.Layer, convert_arguments) -> None:
        """Calls `layer` from now on, with the arguments as `convert_arguments` returns them."""

        def call(*args, **kwargs):
            args, kwargs = convert_arguments(args, kwargs)
            return layer(*args, **kwargs)

        adopt_call_of(self, layer)
        self._convert_input_args = False
        self._allow_non_tensor_positional_args = True
        # Logs name the outputs of a subclassed model otherwise than those of a graph.
        self.output_names = None
        self._delegate = layer
        self.call = call

    def compute_output_spec(self, *args, **kwargs):
        if self._delegate is None:
            return super().compute_output_spec(*args, **kwargs)
        return backend.compute_output_spec(self.call, *args, **kwargs)

    def _assert_input_compatibility(self, *args):
        if self._delegate is None:
            super()._assert_input_compatibility(*args)


def called_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
    """The layer as which `layer` is called: its delegate, or else itself."""
    return getattr(layer, "_delegate", None) or layer


def rebuild(model: keras.Model, convert, plain: bool = False):
    """The graph of a functional or Sequential model, with all its layers `convert`ed.

    Args:
        model: Built model; nested ones are rebuilt too.
        convert: Called once with each layer or operation; returns what stands in its place. A
            nested model that has a `call` of its own is a single layer.
        plain: Whether nested models of this package become models of Keras.

    Returns:
        The symbolic inputs and outputs, in the model's structure.
    """
    rebuilt = _rebuilt(model, convert, plain, {})
    if isinstance(rebuilt, keras.Sequential):
        return rebuilt.inputs[0], rebuilt.outputs[0]
    return rebuilt.input, rebuilt.output


def _rebuilt(model, convert, plain, made):
    """`model` of converted layers; `made` holds what has been made, `{id of a layer: layer}`."""

    def convert_once(layer):
        if id(layer) not in made:
            layer_or_delegate = called_layer(layer) if plain else layer
            made[id(layer)] = (
                _rebuilt(layer, convert, plain, made)
                if is_graph(layer_or_delegate)
                else convert(layer_or_delegate)
            )
        return made[id(layer)]

    inputs = None
    if isinstance(model, Functional):
        inputs = tree.map_structure(lambda x: input_like(x, any_batch_size=False), model.input)
    compiled, model.compiled = model.compiled, False
    try:
        rebuilt = keras.models.clone_model(model, input_tensors=inputs, clone_function=convert_once)
    finally:
        model.compiled = compiled
    if plain and isinstance(rebuilt, DelegatingFunctional):
        rebuilt = keras.Model(rebuilt.input, rebuilt.output, name=model.name)
    copy_settings(model, rebuilt)
    return rebuilt


def copy_settings(source: keras.Model, target: keras.Model) -> None:
    """Gives a model the dtype policy of another, and whether it is trainable, its layers apart."""
    target.dtype_policy = source.dtype_policy
    # The setter would set that of all layers.
    target._trainable = source._trainable


def read_graph(model: keras.Model):
    """The graph of a functional or Sequential model, nested ones as single calls.

    Args:
        model: Built model.

    Returns:
        The symbolic inputs and outputs, in the model's structure, and `(operation, args, kwargs,
        output tensors)` of each call, in an order in which they can be made.
    """
    graph = model._functional if isinstance(model, keras.Sequential) else model
    calls = [
        (node.operation, node.arguments.args, node.arguments.kwargs, node.outputs)
        for depth in sorted(graph._nodes_by_depth, reverse=True)
        for node in graph._nodes_by_depth[depth]
        if not node.is_input
    ]
    return graph.input, graph.output, calls


def map_shapes(function, shapes):
    """Applies `function` to each shape in a nested structure of shapes."""
    return tree.map_shape_structure(function, shapes)


def is_graph(layer) -> bool:
    """Whether a layer is a functional or Sequential model that computes its graph alone."""
    return isinstance(layer, Functional | keras.Sequential) and type(layer).call in (
        Functional.call,
        keras.Sequential.call,
    )


def output_layer(model: keras.layers.Layer):
    """The layer or operation that gives a model's first output; `None` where no graph says."""
    while isinstance(model, keras.Model):
        graph = model._functional if isinstance(model, keras.Sequential) else model
        if graph is None or not is_graph(model):
            return None
        operation = graph.outputs[0]._keras_history.operation
        model = getattr(operation, "layer", operation)
    return model


def input_signature(model: keras.Model) -> list:
    """The `tf.TensorSpec`s of a built model's positional arguments, each in its structure."""
    signature = tree.map_structure(make_tf_tensor_spec, get_input_signature(model))
    if isinstance(model, Functional):
        # Keras gives a batch axis to scalars too.
        signature = [tree.map_structure(_exact_spec, model._inputs_struct, signature[0])]
    return signature


def _exact_spec(tensor, spec):
    return spec if len(tensor.shape) else tf.TensorSpec((), spec.dtype, spec.name)


@contextlib.contextmanager
def plain_argmax() -> Iterator[None]:
    """Makes Keras's `argmax` and `argmin` TensorFlow's own while a model is traced.

    Keras ranks -0.0 below 0.0 by looking at the sign bit of floats, with operators that few other
    formats have. TensorFlow takes the first of the two.
    """
    module = backend.numpy
    originals = {name: getattr(module, name) for name in ("argmax", "argmin")}
    for name in originals:
        setattr(module, name, _plain(getattr(tf, name)))
    try:
        yield
    finally:
        for name, original in originals.items():
            setattr(module, name, original)


def _plain(function):
    def call(x, axis=None, keepdims=False):
        x = tf.convert_to_tensor(x)
        rank = x.shape.rank
        if axis is None:
            x = tf.reshape(x, [-1])
        result = function(x, axis=axis or 0, output_type=tf.int32)
        if keepdims:
            result = (
                tf.reshape(result, [1] * rank) if axis is None else tf.expand_dims(result, axis)
            )
        return result

    return call
