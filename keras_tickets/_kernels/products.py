"""Products of two activations, such as those of queries and keys, in a model's graph."""

import math

import tensorflow as tf

from keras_tickets._kernels.tracing import Trace
from keras_tickets._kernels.uses import dependent_on

_ADJOINTS = ("transpose_a", "adj_x")
_MATMULS = ("MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3")
_LOOKUPS = ("GatherV2", "ResourceGather")


def products_of_activations(trace: Trace) -> tuple[int, int, int]:
    """Counts the products of matrices that both depend on the model's input.

    A table that the input's tokens are looked up in counts as such a matrix: where a model
    multiplies by it, as language models do for their logits, no kernel stands for that product.
    Products within loops, as of recurrent layers, are not seen.

    Args:
        trace: A traced forward pass.

    Returns:
        Number of multiplications, number of elements of the results, and number of products of
        which a size is not known.
    """
    graph = trace.graph
    inputs = [
        tensor
        for tensor in tf.nest.flatten(trace.inputs, expand_composites=True)
        if isinstance(tensor, tf.Tensor)
    ]
    data = dependent_on(inputs, graph)
    factors = dependent_on([*inputs, *_tables(graph, data)], graph)
    multiplications = elements = unknown = 0
    for operation in graph.get_operations():
        if operation.type not in (*_MATMULS, "Einsum") or len(operation.inputs) != 2:
            continue
        used = all(tensor.ref() in factors for tensor in operation.inputs)
        if not used or operation.outputs[0].ref() not in data:
            continue
        sizes = [
            *operation.inputs[0].shape,
            *operation.inputs[1].shape,
            *operation.outputs[0].shape,
        ]
        if None in sizes:
            unknown += 1
            continue
        multiplications += _multiplications(operation)
        elements += math.prod(operation.outputs[0].shape)
    return multiplications, elements, unknown


def _tables(graph, data) -> list[tf.Tensor]:
    """What the tables are read from in which something that depends on the input is looked up."""
    found, seen = [], set()
    waiting = [
        operation.inputs[0]
        for operation in graph.get_operations()
        if operation.type in _LOOKUPS
        and operation.inputs[1].ref() in data
        and operation.inputs[0].ref() not in data
    ]
    while waiting:
        tensor = waiting.pop()
        if tensor.ref() in seen:
            continue
        seen.add(tensor.ref())
        if tensor.op.type == "Placeholder":
            found.append(tensor)
        waiting.extend(tensor.op.inputs)
    return found


def _multiplications(operation) -> int:
    first, second = (tensor.shape for tensor in operation.inputs)
    if operation.type == "Einsum":
        return _einsum_multiplications(operation.get_attr("equation").decode(), first, second)
    flipped = any(_is_set(operation, name) for name in _ADJOINTS)
    summed = first[-2] if flipped else first[-1]
    return math.prod(operation.outputs[0].shape) * summed


def _is_set(operation, name) -> bool:
    try:
        return bool(operation.get_attr(name))
    except ValueError:
        return False


def _einsum_multiplications(equation, first, second) -> int:
    """The product of the sizes of all labels, each once; "..." stands for further axes."""
    sizes = {}
    for labels, shape in zip(equation.split("->")[0].split(","), (first, second), strict=True):
        before, dots, after = labels.partition("...")
        middle = len(shape) - len(before) - len(after)
        named = [*before, *(range(-middle, 0) if dots else ()), *after]
        for label, size in zip(named, shape, strict=True):
            sizes[label] = max(size, sizes.get(label, 1))
    return math.prod(sizes.values())
