"""Which variables of a model are kernels, their paths, and the meaning of their axes."""

import dataclasses
import math
import re
from collections.abc import Callable

import keras
import tensorflow as tf

from keras_tickets._checks import compile_regex
from keras_tickets._kernels.axes import (
    CONVOLUTIONS,
    Axes,
    computes_as_keras,
    find_axes,
    kernel_shape,
    stays_dense,
)
from keras_tickets._kernels.paths import Walk
from keras_tickets._kernels.tracing import first_convolutions, last_layers, recurrent_layers
from keras_tickets._kernels.uses import unmultiplied

_VECTOR_LIKE = re.compile(r"(^|_)(gamma|beta|alpha|scale|offset)(_|$)|embed")
_ADDED_BY_NAME = re.compile(r"(^|_)(cls|class|token|tokens|pos|position|positions)(_|$)")
_KERNEL = re.compile(r"(^|_)kernel$")
_FROZEN = "frozen: trainable=False"
_ADDED = "added or looked up, not multiplied: dense unless `filters` asks for it"

Filters = str | list[str] | Callable[[str], bool] | None


@dataclasses.dataclass(frozen=True, eq=False)
class Kernel:
    """A weight tensor that can be sparse.

    Attributes:
        path: The names on the way from the model to the kernel, such as `"encoder/fc/kernel"`.
            It is the same in every process and before and after `kt.sparsify`.
        variable: The kernel.
        layer: The layer that owns it.
        inputs: Product of the input axes' sizes (fan-in without the spatial axes).
        outputs: Product of the output axes' sizes; for one gate if there are gates.
        spatial: Sizes of the spatial axes.
        gates: Number of independent kernels stacked in this one: gates of a recurrent kernel, or
            the size of the axes that an einsum shares among input, kernel and output.
        first_conv: Whether it is a convolution that reads the model's input, with no other kernel
            in between.
        input_axes: Indices of the input axes.
        output_axes: Indices of the output axes.
    """

    path: str
    variable: keras.Variable
    layer: keras.layers.Layer
    inputs: int
    outputs: int
    spatial: tuple[int, ...]
    gates: int = 1
    first_conv: bool = False
    input_axes: tuple[int, ...] = ()
    output_axes: tuple[int, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the kernel."""
        return kernel_shape(self.variable)

    @property
    def size(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)


@dataclasses.dataclass(frozen=True)
class Skipped:
    """A weight or layer that stays dense, and why.

    Attributes:
        path: Path of the weight, or of the layer if it has no kernel.
        reason: In words.
    """

    path: str
    reason: str


def find_kernels(
    model: keras.layers.Layer, filters: Filters = None, frozen: bool = False
) -> tuple[list[Kernel], list[Skipped]]:
    """Finds the kernels of a model, in layer order, each once.

    A kernel is a trainable weight of rank 2 or more that is not a bias, a scale or the like, in
    layers of any class, through nested models, lists and dicts. By default, weights of custom
    layers that a model only adds or looks up, and never uses in a matrix product, are left out,
    such as class tokens and position tables. `Sparse` wrappers add no name to the paths. A repeated
    path gets `_1`, `_2`, … in layer order. Below a layer that is neither functional nor Sequential,
    layers with automatic names (`dense_7`) are renumbered within their parent (`dense`, `dense_1`),
    because their names change from process to process.

    Args:
        model: Built Keras model or layer.
        filters: Which kernels to take: a regex or a list of regexes (`re.search` on the path), or a
            callable on paths. By default all except embeddings, depthwise and Fourier kernels,
            which are taken if a filter selects them.
        frozen: Whether to include kernels of layers with `trainable=False`: a kernel that was
            masked when its layer was frozen keeps its mask.

    Returns:
        The kernels, and what was skipped with the reason.

    Raises:
        TypeError: `filters` has an unsupported type.
        ValueError: `filters` has an invalid regex, or one that matches no kernel.

    Example:

    ```python
    import keras
    from keras_tickets._kernels.find import find_kernels

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, name="fc")])
    kernels, skipped = find_kernels(model)
    assert [kernel.path for kernel in kernels] == ["fc/kernel"]
    ```
    """
    selects = _Selection(filters)
    kernels, skipped = [], []
    walk = Walk(model)
    entries = list(walk)
    added = _added_weights(model, entries)
    for path, layer, variable, is_frozen in entries:
        reason = _why_no_kernel(layer, variable, is_frozen)
        if reason is None or (frozen and reason == _FROZEN):
            default = _ADDED if id(variable) in added else stays_dense(layer, variable)
            if selects(path, by_default=default is None):
                kernels.append(_kernel(path, layer, variable, walk.conv_lstm_cells))
                continue
            reason = default if filters is None else "excluded by `filters`"
        if reason:
            skipped.append(Skipped(path, reason))
    selects.check()
    skipped.extend(Skipped(path, "no kernel: only vectors") for path in walk.without_kernel)
    return _mark_first_convolutions(model, kernels), skipped


def all_kernels(model: keras.layers.Layer) -> list[Kernel]:
    """Finds all kernels that can have masks, including frozen ones and those dense by default.

    Args:
        model: Built Keras model or layer.

    Returns:
        The kernels, in layer order, with the paths of `find_kernels`.
    """
    return find_kernels(model, filters=lambda path: True, frozen=True)[0]


def multiplied_kernels(model: keras.layers.Layer) -> list[Kernel]:
    """Finds all kernels used in products, including depthwise and frozen ones, not embeddings.

    Args:
        model: Built Keras model or layer.

    Returns:
        The kernels, in layer order, with the paths of `find_kernels`.
    """
    return _kernels_where(model, _is_multiplied)


def counted_kernels(model: keras.layers.Layer) -> list[Kernel]:
    """Finds all weights that may be multiplied with data as matrices, whatever trains them.

    Of the layers of Keras these are their kernels, also those that are frozen, quantized or trained
    by LoRA. Of other layers they are all weights of rank 2 or more, some of which may only be added
    or looked up.

    Args:
        model: Built Keras model or layer.

    Returns:
        The kernels, in layer order, with the paths of `find_kernels`.
    """
    return _kernels_where(model, _may_be_multiplied)


def _kernels_where(model, chosen):
    """The kernels for whose layer and variable, and whether these are frozen, `chosen` holds."""
    walk = Walk(model)
    return [
        _kernel(path, layer, variable, walk.conv_lstm_cells)
        for path, layer, variable, frozen in walk
        if chosen(layer, variable, frozen)
    ]


def _is_multiplied(layer, variable, frozen):
    return (
        _why_no_kernel(layer, variable, frozen) in (None, _FROZEN)
        and not isinstance(layer, keras.layers.Embedding)
        and not _VECTOR_LIKE.search(variable.name)
    )


def _may_be_multiplied(layer, variable, frozen):
    if len(kernel_shape(variable)) < 2:
        return False
    if computes_as_keras(layer):
        return _KERNEL.search(variable.name) and not isinstance(layer, keras.layers.Embedding)
    return keras.backend.is_float_dtype(variable.dtype) and variable.name != "embeddings"


def output_kernels(model: keras.Model) -> list[Kernel]:
    """Finds the kernels that produce a model's outputs, with no other kernel after them.

    Args:
        model: Built Keras model.

    Returns:
        The kernels, in layer order. If the model does not know the shape of its inputs, those of
        the last layer with a kernel.
    """
    kernels, loops = multiplied_kernels(model), recurrent_layers(model)
    callers = [loops.get(id(kernel.layer), kernel.layer) for kernel in kernels]
    try:
        last = last_layers(model, callers)
    except ValueError:
        last = {id(caller) for caller in callers[-1:]}
    return [k for k, caller in zip(kernels, callers, strict=True) if id(caller) in last]


def _why_no_kernel(layer, variable, frozen):
    """The reason in words; "" if it need not be listed; `None` for a kernel."""
    if len(kernel_shape(variable)) < 2 or "bias" in variable.name:
        return ""
    if getattr(layer, "lora_enabled", False):
        return "LoRA is enabled: the kernel is frozen and its factors are small"
    if isinstance(layer, keras.layers.TFSMLayer):
        return "inside a SavedModel, which masks do not reach"
    dtype = keras.backend.standardize_dtype(variable.dtype)
    if not dtype.startswith(("float", "bfloat")):
        return f"quantized to {dtype}" if getattr(layer, "quantization_mode", None) else ""
    if frozen:
        return _FROZEN
    if not variable.trainable:
        return ""
    embedding = isinstance(layer, keras.layers.Embedding)
    if not embedding and _VECTOR_LIKE.search(variable.name):
        return f"not a kernel by its name ({variable.name})"
    return None


def _added_weights(model, entries) -> set[int]:
    """The `id`s of weights of custom layers not used in products, such as position tables.

    Only custom layers are checked: how Keras's own layers use their weights is known.
    """
    unknown = [
        variable
        for _, layer, variable, frozen in entries
        if _why_no_kernel(layer, variable, frozen) in (None, _FROZEN)
        and type(layer).__module__.split(".")[0] != "keras"
        and not hasattr(variable, "kernel_shape")
    ]
    if not unknown:
        return set()
    if isinstance(model, keras.Model) and tf.executing_eagerly():
        found = unmultiplied(model, unknown)
        if found is not None:
            return found
    return {id(variable) for variable in unknown if _ADDED_BY_NAME.search(variable.name)}


def _kernel(path, layer, variable, conv_lstm_cells):
    axes = find_axes(layer, variable)
    if id(layer) in conv_lstm_cells:
        axes = Axes(axes.inputs, axes.outputs, gates=4)
    shape = kernel_shape(variable)
    outputs = math.prod(shape[axis] for axis in axes.outputs)
    known = {*axes.inputs, *axes.outputs, *axes.groups}
    return Kernel(
        path=path,
        variable=variable,
        layer=layer,
        inputs=math.prod(shape[axis] for axis in axes.inputs),
        outputs=outputs if axes.groups else outputs // axes.gates,
        spatial=tuple(size for axis, size in enumerate(shape) if axis not in known),
        gates=axes.gates,
        input_axes=axes.inputs,
        output_axes=axes.outputs,
    )


def _mark_first_convolutions(model, kernels):
    layers = [kernel.layer for kernel in kernels if isinstance(kernel.layer, CONVOLUTIONS)]
    if not layers or not isinstance(model, keras.Model) or not tf.executing_eagerly():
        return kernels
    first = first_convolutions(model, layers)
    return [dataclasses.replace(k, first_conv=id(k.layer) in first) for k in kernels]


class _Selection:
    """The `filters` argument as a predicate that remembers which of its regexes matched."""

    def __init__(self, filters):
        self.predicate = filters if callable(filters) else None
        self.regexes = {}
        if filters is None or self.predicate:
            return
        patterns = [filters] if isinstance(filters, str) else filters
        valid = isinstance(patterns, (list, tuple)) and patterns
        if not valid or not all(isinstance(pattern, str) for pattern in patterns):
            raise TypeError(
                "`filters` must be None, a regex, a list of regexes or a callable on kernel paths. "
                f"Received: filters={filters!r}"
            )
        for pattern in patterns:
            self.regexes[pattern] = compile_regex("filters", pattern)
        self.unmatched = set(patterns)
        self.paths = []

    def __call__(self, path, by_default):
        if self.predicate:
            return bool(self.predicate(path))
        if not self.regexes:
            return by_default
        self.paths.append(path)
        matching = [p for p, regex in self.regexes.items() if regex.search(path)]
        self.unmatched.difference_update(matching)
        return bool(matching)

    def check(self):
        if self.regexes and self.unmatched:
            raise ValueError(
                f"`filters`: {sorted(self.unmatched)} match no kernel of the model. "
                f"Its kernels: {self.paths}"
            )
