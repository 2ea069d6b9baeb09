"""Calls of layers, recorded by tracing a model once without computing anything."""

import contextlib
import dataclasses
import inspect
from collections.abc import Iterable, Mapping, Sequence

import keras
import tensorflow as tf

from keras_tickets import _keras_compat
from keras_tickets._kernels.calls import call_arguments

# The shape of an input without the batch axis, or such shapes in the model's structure of inputs.
InputShape = Sequence[int] | Sequence["InputShape"] | Mapping[str, "InputShape"] | None


@dataclasses.dataclass(frozen=True)
class LayerCall:
    """One call of a layer.

    Attributes:
        layer: The layer.
        inputs: Its tensor arguments in the order of its signature; the first is the main one.
        outputs: The tensors it returned.
        graph: The graph in which it ran: that of the trace, or that of a loop or branch in it.
        operations: Places in that graph of what it added.
    """

    layer: keras.layers.Layer
    inputs: list[tf.Tensor]
    outputs: list[tf.Tensor]
    graph: tf.Graph
    operations: range


@dataclasses.dataclass(frozen=True)
class Trace:
    """A forward pass, without computing anything.

    Attributes:
        calls: The calls of the layers that were recorded, in order.
        inputs: The model's symbolic inputs.
        outputs: The model's symbolic outputs.
        graph: The graph that holds them.
        batch: Number of samples: 1, unless the model takes batches of one size only.
        weights: The symbolic values of the weights that were asked for.
    """

    calls: list[LayerCall]
    inputs: list[tf.Tensor]
    outputs: list[tf.Tensor]
    graph: tf.Graph
    batch: int
    weights: list[tf.Tensor]

    def computed(self) -> dict[tf.Operation, int]:
        """`{operation: its place in the graph}` of those that the outputs need."""
        needed, waiting = set(), [tensor.op for tensor in self.outputs if tf.is_tensor(tensor)]
        while waiting:
            operation = waiting.pop()
            if operation not in needed:
                needed.add(operation)
                waiting += [*(tensor.op for tensor in operation.inputs), *operation.control_inputs]
        everything = enumerate(self.graph.get_operations())
        return {operation: place for place, operation in everything if operation in needed}


def trace(
    model: keras.Model,
    layers: Iterable[keras.layers.Layer],
    input_shape: InputShape = None,
    weights: Iterable[keras.Variable] = (),
) -> Trace:
    """Traces a model for inference.

    Args:
        model: Built Keras model.
        layers: The layers whose calls are recorded.
        input_shape: Shape of the input without the batch axis, or a structure of such shapes, for a
            model that leaves sizes open.
        weights: Weights of the model that are to have symbolic values.

    Raises:
        ValueError: The model does not know the shape of its inputs and `input_shape` is `None`.
    """
    calls, stand_ins, results = [], [], []
    arguments, batch = _arguments(model, input_shape)
    weights = list(weights)
    specs = [tf.TensorSpec(weight.shape, weight.dtype) for weight in weights]

    def run(arguments, values):
        stand_ins.extend([tf.nest.flatten(arguments), list(values)])
        with _keras_compat.masked_scope(list(zip(weights, values, strict=True)), model):
            outputs = model(*arguments[0], **arguments[1], training=False)
        results.extend(tf.nest.flatten(outputs))
        return results

    with _recording(layers, calls):
        function = tf.function(run, autograph=False)
        graph = function.get_concrete_function(arguments, specs).graph
    return Trace(calls, stand_ins[0], results, graph, batch, stand_ins[1])


def first_convolutions(model: keras.Model, layers: Iterable[keras.layers.Layer]) -> set[int]:
    """Finds the layers that read the model's input with no other kernel in between.

    Args:
        model: Built Keras model.
        layers: Convolutions of the model.

    Returns:
        The `id`s of the layers that do.
    """
    traced = trace(model, layers)
    sources = {tensor.op for tensor in traced.inputs}
    return {id(call.layer) for call in traced.calls if _reads_directly(call.inputs[0].op, sources)}


def last_layers(model: keras.Model, layers: Iterable[keras.layers.Layer]) -> set[int]:
    """Finds the layers whose outputs reach the model's with none of the others in between.

    Args:
        model: Built Keras model.
        layers: Layers of the model.

    Returns:
        The `id`s of the layers that do.
    """
    traced = trace(model, layers)
    waiting = list(traced.outputs)
    makers = {tensor.ref(): id(call.layer) for call in traced.calls for tensor in call.outputs}
    seen, last = set(), set()
    while waiting:
        tensor = waiting.pop()
        if tensor.ref() in makers:
            last.add(makers[tensor.ref()])
        elif tensor.op not in seen:
            seen.add(tensor.op)
            waiting.extend(tensor.op.inputs)
    return last


def recurrent_layers(model: keras.Model) -> dict[int, keras.layers.Layer]:
    """`{id of a layer: the recurrent layer in whose loop it runs}`."""
    loops = {}
    for layer in _keras_compat.all_layers(model):
        if isinstance(layer, keras.layers.RNN):
            for inner in _keras_compat.all_layers(layer):
                loops.setdefault(id(inner), layer)
    return loops


def _reads_directly(operation, model_inputs):
    waiting, seen, reaches_input = [operation], set(), False
    while waiting:
        operation = waiting.pop()
        if operation in seen:
            continue
        seen.add(operation)
        reaches_input = reaches_input or operation in model_inputs
        if _reads_matrix(operation):
            return False
        waiting.extend(tensor.op for tensor in operation.inputs)
    return reaches_input


def _reads_matrix(operation):
    from_variable = any(tensor.dtype == tf.resource for tensor in operation.inputs)
    return from_variable and any(
        o.shape.rank is None or o.shape.rank > 1 for o in operation.outputs
    )


def _arguments(model, input_shape):
    """Specs of the positional and of the named arguments of the model's call; the batch size."""
    if input_shape is not None:
        specs = _keras_compat.map_shapes(lambda shape: tf.TensorSpec((1, *shape)), input_shape)
        return ([specs], {}), 1
    try:
        args, kwargs = call_arguments(model)
    except ValueError as error:
        raise ValueError(
            f"Model {model.name!r} does not know the shape of its inputs. Pass `input_shape`, "
            "without the batch axis."
        ) from error
    arguments = list(args), kwargs
    tensors = [x for x in keras.tree.flatten(arguments) if isinstance(x, keras.KerasTensor)]
    sizes = {x.shape[0] for x in tensors if x.shape}
    batch = sizes.pop() if len(sizes) == 1 else None
    specs = keras.tree.map_structure(lambda x: _spec(x, batch or 1), arguments)
    return specs, batch or 1


def _spec(argument, batch):
    if not isinstance(argument, keras.KerasTensor):
        return argument
    kind = tf.SparseTensorSpec if argument.sparse else tf.TensorSpec
    return kind((batch, *argument.shape[1:]), argument.dtype)


@contextlib.contextmanager
def _recording(layers, calls):
    layers = list({id(layer): layer for layer in layers}.values())
    before = [vars(layer).get("call") for layer in layers]
    for layer in layers:
        layer.call = _recorder(layer, layer.call, calls)
    try:
        yield
    finally:
        for layer, own in zip(layers, before, strict=True):
            del layer.call
            if own is not None:
                layer.call = own


def _recorder(layer, call, calls):
    signature = inspect.signature(call)

    def recorded(*args, **kwargs):
        graph = tf.compat.v1.get_default_graph()
        before = len(graph.get_operations())
        outputs = call(*args, **kwargs)
        made = range(before, len(graph.get_operations()))
        arguments = signature.bind(*args, **kwargs).arguments.values()
        tensors = [t for each in arguments for t in tf.nest.flatten(each) if tf.is_tensor(t)]
        calls.append(LayerCall(layer, tensors, tf.nest.flatten(outputs), graph, made))
        return outputs

    return recorded
