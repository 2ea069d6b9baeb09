"""What XNNPACK's sparse kernels on ARM and in WebAssembly ask of each operator.

Source: XNNPACK, `src/subgraph.c`, `xnn_check_nchw_compatibility`; padding that it fuses into
convolutions: `xnn_subgraph_fusion`.
"""

from collections.abc import Callable

from tensorflow.lite.python import schema_py_generated as schema

from keras_tickets.export.litert_graph import LitertGraph, Operator

Padding = tuple[int, int, int, int]  # top, bottom, left, right

UNARY = frozenset(
    "ABS CEIL COS ELU EXP FLOOR GELU HARD_SWISH LEAKY_RELU LOG LOGISTIC NEG RELU RELU6 "
    "RELU_N1_TO_1 ROUND RSQRT SIN SQRT SQUARE TANH".split()
)
BINARY = frozenset(("ADD", "MUL"))
# Operators whose outputs the rest of the network can read as usual.
ENDS = frozenset(("MEAN", "SUM", "DEPTH_TO_SPACE"))

NOT_FLOAT = (
    "it computes in another dtype than float32: export without quantization of what is computed"
)
COMPUTED = "its kernel is computed: only stored ones can be sparse"
GROUPS = "it has groups: let it be a depthwise convolution and a 1x1 convolution"
DILATION = "it is dilated: dilation_rate=1"
POINTWISE_STRIDE = (
    "it is a 1x1 convolution with a stride: give the stride to a depthwise 3x3 convolution "
    "before it"
)
OTHER_SIZE = (
    "it is a {height}x{width} convolution: only 1x1 ones have sparse kernels, beside a 3x3 one "
    "with stride 2 on 3 channels that comes first; let it be a depthwise and a 1x1 convolution"
)
FIRST_CHANNELS = (
    "it is a 3x3 convolution on {channels} channels: only one on 3 channels may come before those "
    "with sparse kernels; let it be a depthwise and a 1x1 convolution"
)
FIRST_STRIDE = "it is a 3x3 convolution without stride 2: strides=2"
PAD_POINTWISE = "it is a 1x1 convolution behind padding: no padding there"
PAD_FIRST = (
    "its padding is {padding}, not {wanted} on each side: ZeroPadding2D({wanted}) before it and "
    'padding="valid"'
)
MULTIPLIER = "its depth multiplier is {multiplier}: depth_multiplier=1"
DEPTHWISE_STRIDE = "its strides are {strides}: 1 or 2, the same in height and width"
DEPTHWISE_SIZE = "it is a depthwise {height}x{width} convolution: 3x3 or 5x5"
RANK = "it reads tensors that have not 4 axes (batch, height, width, channels)"
CONSTANT = (
    "it adds or multiplies by a constant: only layers that the converter folds into a convolution, "
    "such as a BatchNormalization right behind it, may do so"
)
ODD = (
    "its images have an odd height or width, {height}x{width}, for which the converter writes "
    'padding="same" in any case: even ones'
)
AXES = "it is over other axes than height and width, or not over both: GlobalAveragePooling2D"
RESIZED = "it resizes images with a height or width of 1"
WAYS_OUT = {
    "AVERAGE_POOL_2D": "a depthwise convolution with stride 2, or at the end "
    "GlobalAveragePooling2D, instead",
    "CONCATENATION": "Add instead",
    "FULLY_CONNECTED": 'what kernels="auto" chooses for such layers is another matter',
    "MAX_POOL_2D": "a depthwise convolution with stride 2 instead",
    "PAD": 'only right before one convolution, which has padding="valid", by zeros',
    "RESHAPE": "GlobalAveragePooling2D(keepdims=True) needs none before 1x1 convolutions, and "
    "Flatten has no sparse form",
    "SHAPE": "Flatten and Reshape have no sparse form: GlobalAveragePooling2D() and Dense at the "
    "end",
}
OTHER_KIND = "sparse kernels cannot lie beside it, which reads values in another order"


def broken(graph: LitertGraph, operator: Operator, padding: Padding | None) -> str:
    """The first condition that an operator does not meet, and how to meet it; or nothing.

    Args:
        graph: Where it is.
        operator: The operator.
        padding: Zeros that another operator adds before it, and XNNPACK by its own.
    """
    kind = operator.kind
    check = _CHECKS.get(kind, _check_unary if kind in UNARY else None)
    if check is None:
        way_out = WAYS_OUT.get(kind)
        return OTHER_KIND + (f": {way_out}" if way_out else "")
    used = [index for index in (*operator.inputs, *operator.outputs) if index >= 0]
    if kind in ("MEAN", "SUM", "RESIZE_BILINEAR"):  # the others hold axes or sizes
        used = [operator.inputs[0], *operator.outputs]
    if not all(graph.tensor(index).floating for index in used):
        return NOT_FLOAT
    return check(graph, operator, padding)


def pointwise(graph: LitertGraph, operator: Operator) -> bool:
    """Whether it is a 1x1 convolution."""
    return operator.kind == "CONV_2D" and _kernel(graph, operator)[1:3] == (1, 1)


def first(graph: LitertGraph, operator: Operator) -> bool:
    """Whether it is a convolution that may read the model's input."""
    return operator.kind == "CONV_2D" and not pointwise(graph, operator)


def _check_convolution(graph, operator, padding):
    _, height, width, channels = _kernel(graph, operator)
    options, given = operator.options, _shape(graph, operator.inputs[0])[-1]
    strides = {options.strideH, options.strideW}
    if operator.inputs[1] not in graph.constants:
        return COMPUTED
    if given != channels:
        return GROUPS
    if {options.dilationHFactor, options.dilationWFactor} != {1}:
        return DILATION
    if (height, width) == (1, 1):
        if strides != {1}:
            return POINTWISE_STRIDE
        return _check_padding(graph, operator, padding, 0)
    if (height, width) != (3, 3):
        return OTHER_SIZE.format(height=height, width=width)
    if channels != 3:
        return FIRST_CHANNELS.format(channels=channels)
    return FIRST_STRIDE if strides != {2} else _check_padding(graph, operator, padding, 1)


def _check_depthwise(graph, operator, padding):
    _, height, width, channels = _kernel(graph, operator)
    options, given = operator.options, _shape(graph, operator.inputs[0])[-1]
    strides = (options.strideH, options.strideW)
    if {options.dilationHFactor, options.dilationWFactor} != {1}:
        return DILATION
    if channels != given:
        return MULTIPLIER.format(multiplier=channels // given)
    if strides not in ((1, 1), (2, 2)):
        return DEPTHWISE_STRIDE.format(strides=strides)
    if (height, width) not in ((3, 3), (5, 5)):
        return DEPTHWISE_SIZE.format(height=height, width=width)
    return _check_padding(graph, operator, padding, height // 2)


def _check_padding(graph, operator, padding, wanted):
    """Whether a convolution has `wanted` rows and columns of zeros on each side."""
    options = operator.options
    same = options.padding == schema.Padding.SAME
    if padding is None and same and wanted and {options.strideH, options.strideW} != {1}:
        _, height, width, _ = _shape(graph, operator.inputs[0])
        if height % 2 or width % 2:
            return ODD.format(height=height, width=width)
        return PAD_FIRST.format(padding='"same"', wanted=wanted)
    own = wanted if same else 0  # "same" without a stride has as many
    total = tuple(own + added for added in padding or 4 * (0,))
    if total == 4 * (wanted,):
        return ""
    if not wanted:
        return PAD_POINTWISE
    shown = "none" if not any(total) else f"{total} above, below, left and right"
    return PAD_FIRST.format(padding=shown, wanted=wanted)


def _check_binary(graph, operator, padding):
    if any(index in graph.constants for index in operator.inputs):
        return CONSTANT
    ranks = {len(_shape(graph, index)) for index in operator.inputs}
    return "" if ranks == {4} else RANK


def _check_unary(graph, operator, padding):
    return "" if len(_shape(graph, operator.inputs[0])) == 4 else RANK


def _check_mean(graph, operator, padding):
    axes = graph.constants.get(operator.inputs[1])
    if len(_shape(graph, operator.inputs[0])) != 4:
        return RANK
    return "" if axes is not None and sorted(axes.values % 4) == [1, 2] else AXES


def _check_resize(graph, operator, padding):
    sizes = _shape(graph, operator.inputs[0])[1:3]
    return RESIZED if 1 in sizes else ""


def _check_depth_to_space(graph, operator, padding):
    return ""


_CHECKS: dict[str, Callable[[LitertGraph, Operator, Padding | None], str]] = {
    "CONV_2D": _check_convolution,
    "DEPTHWISE_CONV_2D": _check_depthwise,
    "ADD": _check_binary,
    "MUL": _check_binary,
    "MEAN": _check_mean,
    "SUM": _check_mean,
    "RESIZE_BILINEAR": _check_resize,
    "DEPTH_TO_SPACE": _check_depth_to_space,
}


def _kernel(graph, operator):
    return _shape(graph, operator.inputs[1])


def _shape(graph, index):
    return graph.tensor(index).shape
