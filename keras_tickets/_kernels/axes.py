"""The meaning of the axes of a kernel, for every kind of Keras layer."""

import dataclasses

import keras

_TRANSPOSED = (
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
)
_DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
_SEPARABLE = (keras.layers.SeparableConv1D, keras.layers.SeparableConv2D)
_GROUPED = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)
# Layers of Keras with kernels of several meanings; the second is not in all versions.
_READ_FROM_GRAPHS = tuple(
    getattr(keras.layers, name)
    for name in ("STFTSpectrogram", "ReversibleEmbedding")
    if hasattr(keras.layers, name)
)
_CONV_LSTM = (keras.layers.ConvLSTM1D, keras.layers.ConvLSTM2D, keras.layers.ConvLSTM3D)

CONVOLUTIONS = (
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    *_TRANSPOSED,
    *_SEPARABLE,
)


@dataclasses.dataclass(frozen=True)
class Axes:
    """Axis indices of a kernel, and how many independent kernels it stacks.

    Attributes:
        inputs: Axes that are summed over, except spatial ones.
        outputs: Axes that become units or channels of the output.
        groups: Axes that an einsum shares among input, kernel and output.
        gates: Gates of a recurrent kernel along its output axis, or, in an einsum, the number of
            independent kernels (the size of the axes that input, kernel and output share).
    """

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    groups: tuple[int, ...] = ()
    gates: int = 1


def kernel_shape(variable: keras.Variable) -> tuple[int, ...]:
    """Shape of a kernel, also where the variable only holds the values that are not zero."""
    return tuple(getattr(variable, "kernel_shape", variable.shape))


def find_axes(layer: keras.layers.Layer, variable: keras.Variable) -> Axes:
    """Finds the meaning of the axes of a kernel.

    The kernel of an unknown layer is read like that of a convolution: outputs last, inputs before
    them, the rest spatial.

    Args:
        layer: The layer that owns the variable.
        variable: Its kernel, of rank 2 or more.

    Returns:
        The input and output axes; all others are spatial or grouped.
    """
    rank = len(kernel_shape(variable))
    if isinstance(layer, keras.layers.EinsumDense) and variable.name == "kernel":
        return _einsum_axes(layer.equation, variable.shape)
    if isinstance(layer, _TRANSPOSED):
        return Axes(inputs=(rank - 1,), outputs=(rank - 2,))
    return Axes(inputs=(rank - 2,), outputs=(rank - 1,), gates=_gates(layer))


def stays_dense(layer: keras.layers.Layer, variable: keras.Variable) -> str | None:
    """Why a kernel stays dense unless a filter selects it; `None` if it does not."""
    if isinstance(layer, keras.layers.Embedding):
        return "embedding: dense unless `filters` asks for it"
    if is_depthwise(layer, variable):
        return "depthwise kernel: dense unless `filters` asks for it"
    if isinstance(layer, keras.layers.STFTSpectrogram):
        return "Fourier transform: dense unless `filters` asks for it"
    return None


def is_depthwise(layer: keras.layers.Layer, variable: keras.Variable) -> bool:
    """Whether each input channel has its own outputs."""
    separable = isinstance(layer, _SEPARABLE) and variable.name.startswith("depthwise")
    grouped = getattr(layer, "groups", 1) > 1 and variable.shape[-2] == 1
    return separable or isinstance(layer, _DEPTHWISE) or (grouped and isinstance(layer, _GROUPED))


def is_separable(layer: keras.layers.Layer) -> bool:
    """Whether a layer is a separable convolution, of a depthwise and a pointwise kernel."""
    return isinstance(layer, _SEPARABLE)


def is_transposed(layer: keras.layers.Layer) -> bool:
    """Whether a layer is a transposed convolution."""
    return isinstance(layer, _TRANSPOSED)


def computes_as_keras(layer: keras.layers.Layer) -> bool:
    """Whether Keras or this package says how a layer uses its kernels, and not a user's `call`."""
    module = getattr(type(layer).call, "__module__", "")
    known = module.split(".")[0] in ("keras", "keras_tickets")
    return known and not isinstance(layer, _READ_FROM_GRAPHS)


def output_channels(layer: keras.layers.Layer, kernel_outputs: int) -> int:
    """Channels of a layer's output, given those that its kernel produces."""
    return layer.filters if isinstance(layer, _SEPARABLE) else kernel_outputs


def conv_lstm_cell(layer: keras.layers.Layer) -> keras.layers.Layer | None:
    """The cell of a convolutional LSTM layer, whose class Keras does not name publicly."""
    return layer.cell if isinstance(layer, _CONV_LSTM) else None


def _gates(layer):
    if isinstance(layer, keras.layers.LSTMCell):
        return 4
    if isinstance(layer, keras.layers.GRUCell):
        return 3
    return 1


def _einsum_axes(equation, shape):
    operands, output = equation.replace(" ", "").split("->")
    inputs, kernel = operands.split(",")
    roles = {"inputs": [], "outputs": [], "groups": []}
    for axis, label in enumerate(kernel):
        if label not in output:
            roles["inputs"].append(axis)
        else:
            roles["groups" if label in inputs else "outputs"].append(axis)
    groups = tuple(roles["groups"])
    gates = 1
    for axis in groups:
        gates *= shape[axis]
    return Axes(tuple(roles["inputs"]), tuple(roles["outputs"]), groups, gates)
