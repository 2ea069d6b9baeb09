"""How a kernel can be stored: whole with a mask, or sparsely; and why not sparsely."""

from collections.abc import Mapping, Sequence

import keras

from keras_tickets import _keras_compat
from keras_tickets._kernels.find import Kernel
from keras_tickets.structures import Layout

STORAGES = ("masked", "sparse")
SPARSE_DTYPES = ("float32", "float64")
# Those whose penalty is a sum over single weights, so that zeros add nothing.
_SUMS_OVER_WEIGHTS = (keras.regularizers.L1, keras.regularizers.L2, keras.regularizers.L1L2)


def why_masked(
    model: keras.Model,
    kernels: Sequence[Kernel],
    layouts: Mapping[str, Layout],
    sparsity: Mapping[str, float],
) -> dict[str, str | None]:
    """Why kernels cannot be stored sparsely.

    Args:
        model: The model, dense or sparse.
        kernels: Some of its kernels.
        layouts: `{kernel path: layout}` of their masks.
        sparsity: `{kernel path: share of zeros}`.

    Returns:
        `{kernel path: reason}`; `None` for a kernel that can.
    """
    own = {id(layer) for layer in _layers_of_graph(model)}
    return {
        kernel.path: _reason(kernel, layouts[kernel.path], sparsity[kernel.path], own)
        for kernel in kernels
    }


def _layers_of_graph(model) -> list[keras.layers.Layer]:
    """The layers that are calls of a graph themselves, those of nested graphs included."""
    if not _keras_compat.is_graph(model):
        return []
    found = []
    for layer in model.layers:
        if _keras_compat.is_graph(layer):
            found += _layers_of_graph(layer)
        else:
            found.append(layer.layer if getattr(layer, "hidden_in_paths", False) else layer)
    return found


def _reason(kernel: Kernel, layout: Layout, sparsity: float, own: set[int]) -> str | None:
    layer = kernel.layer
    regularizer = getattr(layer, "kernel_regularizer", None)
    if type(layer) is not keras.layers.Dense:
        return "not a Dense layer"
    if id(layer) not in own:
        return "inside another layer"
    if not sparsity:
        return "without zeros"
    if layout.groups > 1 or layout.unit_size > 1:
        return "structure: not of single weights"
    if layer.variable_dtype not in SPARSE_DTYPES:
        return f"variables are {layer.variable_dtype}"
    if layer.kernel_constraint is not None:
        return "constraint: on the whole kernel"
    if regularizer is not None and type(regularizer) not in _SUMS_OVER_WEIGHTS:
        return "regularizer: not a sum over weights"
    return None
