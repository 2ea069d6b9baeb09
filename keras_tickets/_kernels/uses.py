"""How a model uses its weights: in products with its data, or only added or looked up."""

from collections.abc import Iterable

import keras
import tensorflow as tf

from keras_tickets import _keras_compat
from keras_tickets._kernels.calls import call_arguments

# What combines a weight with data without multiplying by it as a matrix. Anything else, such as a
# product, a convolution or a loop, counts as a use as a kernel.
_NO_PRODUCTS = frozenset(
    (
        *("Add", "AddN", "AddV2", "BiasAdd", "Sub", "Mul", "RealDiv", "DivNoNan"),
        *("Maximum", "Minimum", "SquaredDifference", "Select", "SelectV2"),
        *("Concat", "ConcatV2", "Pack", "Tile", "BroadcastTo", "StridedSlice", "Slice"),
        *("Gather", "GatherV2", "GatherNd", "ResourceGather"),
    )
)
_SHAPES = frozenset(("Shape", "ShapeN", "Size", "Rank"))


def unmultiplied(model: keras.layers.Layer, variables: Iterable[keras.Variable]) -> set[int] | None:
    """Finds the weights that a model never uses in a matrix product with its data.

    The model is traced once, for inference, and each weight is followed to where it first meets the
    data: class tokens are concatenated, positions added, tables looked up, scales multiplied
    element by element.

    Args:
        model: Built Keras model.
        variables: The weights in question.

    Returns:
        The `id`s of the weights; `None` if the model cannot be traced.
    """
    variables = list(variables)
    try:
        inputs, weights, graph = _trace(model, variables)
    except Exception:
        # A user's `call` may raise anything; then names decide.
        return None
    data = dependent_on(inputs, graph)
    return {
        id(variable)
        for variable, weight in zip(variables, weights, strict=True)
        if _is_never_multiplied(weight, data)
    }


def _trace(model, variables):
    """The symbolic inputs and weights of a call of the model, and the graph."""
    args, kwargs = call_arguments(model)
    inputs = [x for x in keras.tree.flatten((args, kwargs)) if isinstance(x, keras.KerasTensor)]
    stand_ins = {}

    def run(given, values):
        stand_ins.update(inputs=given, weights=values)
        by_id = dict(zip(map(id, inputs), given, strict=True))
        filled = keras.tree.map_structure(lambda x: by_id.get(id(x), x), (args, kwargs))
        with _keras_compat.masked_scope(list(zip(variables, values, strict=True)), model):
            return model(*filled[0], **filled[1], training=False)

    specs = [tf.TensorSpec((1, *x.shape[1:]), x.dtype) for x in inputs]
    values = [tf.TensorSpec(v.shape, v.dtype) for v in variables]
    graph = tf.function(run, autograph=False).get_concrete_function(specs, values).graph
    return stand_ins["inputs"], stand_ins["weights"], graph


def dependent_on(tensors: Iterable[tf.Tensor], graph: tf.Graph) -> set:
    """References to the tensors of a graph whose values, not just shapes, depend on some of them.

    Args:
        tensors: Tensors of the graph, such as its inputs.
        graph: The graph.
    """
    found = {tensor.ref() for tensor in tensors}
    for operation in graph.get_operations():
        depends = any(tensor.ref() in found for tensor in operation.inputs)
        if depends and operation.type not in _SHAPES:
            found.update(tensor.ref() for tensor in operation.outputs)
    return found


def _is_never_multiplied(weight, data) -> bool:
    waiting, seen, meets_data = [weight], set(), False
    while waiting:
        tensor = waiting.pop()
        for operation in tensor.consumers():
            if operation in seen or operation.type in _SHAPES:
                continue
            seen.add(operation)
            if not any(output.ref() in data for output in operation.outputs):
                waiting.extend(operation.outputs)
            elif operation.type not in _NO_PRODUCTS or _is_summed(operation):
                return False
            else:
                meets_data = True
    return meets_data


def _is_summed(operation) -> bool:
    """Whether an elementwise product is summed right away, like a matrix product."""
    return operation.type == "Mul" and any(
        consumer.type == "Sum" for consumer in operation.outputs[0].consumers()
    )
