"""Operations of a graph that multiply and sum: products of matrices, einsums, convolutions."""

import math

import tensorflow as tf

_ADJOINTS = ("transpose_a", "adj_x")
_MATMULS = ("MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3")
_CONVOLUTIONS = ("Conv2D", "Conv3D", "DepthwiseConv2dNative")
_TRANSPOSED = ("Conv2DBackpropInput", "Conv3DBackpropInputV2")


def result_of(operation: tf.Operation) -> tf.Tensor | None:
    """The sums that an operation's multiplications end in; `None` if it is no product.

    An elementwise product that is summed right away is one, like a product of matrices.
    """
    if operation.type == "Mul":
        sums = [each for each in operation.outputs[0].consumers() if each.type == "Sum"]
        return sums[0].outputs[0] if sums else None
    return operation.outputs[0] if factors_of(operation) else None


def factors_of(operation: tf.Operation) -> list[tf.Tensor] | None:
    """The two factors, of a convolution the filter last; `None` if it multiplies no two tensors."""
    inputs = list(operation.inputs)
    if operation.type in _TRANSPOSED:
        return [inputs[2], inputs[1]]
    known = operation.type in (*_MATMULS, *_CONVOLUTIONS, "Einsum", "Mul")
    return inputs if known and len(inputs) == 2 else None


def sizes_of(tensor: tf.Tensor, batch: int) -> list[int] | None:
    """The shape of a tensor; `None` if a size is not known.

    Args:
        tensor: The tensor.
        batch: What is taken for its first size where that is not known, as after a look-up of
            strings.
    """
    if tensor.shape.rank is None:
        return None
    sizes = list(tensor.shape)
    if sizes and sizes[0] is None:
        sizes[0] = batch
    return None if None in sizes else sizes


def multiplications_of(operation: tf.Operation, batch: int) -> int | None:
    """How many multiplications a product takes; `None` if a size is not known.

    Args:
        operation: The product.
        batch: As in `sizes_of`.
    """
    tensors = [*(factors_of(operation) or []), operation.outputs[0]]
    shapes = [sizes for tensor in tensors if (sizes := sizes_of(tensor, batch)) is not None]
    if len(shapes) < len(tensors):
        return None
    first, second, result = shapes
    if operation.type == "Einsum":
        return _einsum_multiplications(operation.get_attr("equation").decode(), first, second)
    if operation.type == "Mul":
        return math.prod(result)
    if operation.type == "DepthwiseConv2dNative":
        return math.prod(result) * math.prod(second[:2])
    if operation.type in _CONVOLUTIONS:
        return math.prod(result) * math.prod(second[:-1])
    if operation.type in _TRANSPOSED:
        return math.prod(first) * math.prod(second[:-1])
    flipped = any(_is_set(operation, name) for name in _ADJOINTS)
    return math.prod(result) * (first[-2] if flipped else first[-1])


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
