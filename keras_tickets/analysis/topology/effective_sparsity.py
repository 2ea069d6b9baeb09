"""Effective sparsity: the weights that lie on a path from the inputs to the outputs."""

import dataclasses

import keras
import numpy as np

from keras_tickets import _keras_compat
from keras_tickets._checks import check_model
from keras_tickets._kernels.find import all_kernels, find_kernels
from keras_tickets._kernels.paths import weight_paths
from keras_tickets._tables import list_text, render_table
from keras_tickets.analysis.networks import masks_over_weights
from keras_tickets.analysis.topology.reachability import find_reachable
from keras_tickets.compact.graph import read
from keras_tickets.model import strip


@dataclasses.dataclass(frozen=True)
class EffectiveRow:
    """The weights of a kernel, or of all kernels, that are on paths from inputs to outputs.

    Attributes:
        path: Kernel path, or "total".
        size: Number of weights.
        nonzeros: Weights on the mask.
        effective: Weights on the mask that are on a path from an input to an output.
        units: Output units or channels; 0 where they cannot be followed.
        disconnected: Units without a path from an input, or without one to an output.

    Example:

    ```python
    import keras_tickets as kt

    row = kt.analysis.EffectiveRow("fc", 100, nonzeros=20, effective=15, units=10, disconnected=2)
    assert (row.sparsity, row.effective_sparsity) == (0.8, 0.85)
    ```
    """

    path: str
    size: int
    nonzeros: int
    effective: int
    units: int
    disconnected: int

    @property
    def sparsity(self) -> float:
        """Share of zeros."""
        return 1.0 - self.nonzeros / self.size if self.size else 0.0

    @property
    def effective_sparsity(self) -> float:
        """Share of weights that are zero or on no path."""
        return 1.0 - self.effective / self.size if self.size else 0.0


@dataclasses.dataclass(frozen=True, eq=False)
class EffectiveSparsity:
    """What is left of a sparse network without its disconnected weights. Prints as a table.

    Attributes:
        rows: Kernel by kernel.
        total: Over all kernels.
        masks: `{kernel path: boolean array}`: the weights on paths from inputs to outputs.
        assumed: `(path, reason)` of the layers that cannot be followed. Every output of such a
            layer is taken to depend on all its inputs, and all its weights to matter, so that the
            effective weights are too many rather than too few.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    dense = keras.Sequential([keras.Input((8,)), keras.layers.Dense(8), keras.layers.Dense(4)])
    print(kt.analysis.effective_sparsity(kt.sparsify(dense, 0.9)))
    ```
    """

    rows: list[EffectiveRow]
    total: EffectiveRow
    masks: dict[str, np.ndarray]
    assumed: list[tuple[str, str]]

    def __str__(self) -> str:
        columns = "kernel", "weights", "nonzero", "on paths", "sparsity", "effective", "units off"
        cells = [
            (
                row.path,
                *(f"{count:,}" for count in (row.size, row.nonzeros, row.effective)),
                f"{row.sparsity:.4f}",
                f"{row.effective_sparsity:.4f}",
                f"{row.disconnected:,} of {row.units:,}" if row.units else "–",
            )
            for row in (*self.rows, self.total)
        ]
        lines = [render_table(columns, cells, droppable=("weights", "sparsity"))]
        by_reason: dict[str, list[str]] = {}
        for path, reason in self.assumed:
            by_reason.setdefault(reason, []).append(path)
        lines += [
            list_text(f"taken to connect all ({reason})", paths)
            for reason, paths in by_reason.items()
        ]
        return "\n".join(lines)


def effective_sparsity(model: keras.Model) -> EffectiveSparsity:
    """Counts the weights that are on no path from the inputs of a network to its outputs.

    Such weights change nothing that the inputs could tell, though they count as nonzero. Units and
    channels are followed through the graph: dense layers, convolutions, batch normalization,
    activations, pooling, merging of branches, concatenation, flattening and nested models. The
    values of weights do not matter: a weight that is 0 on the mask, as after growth, is a
    connection. A convolution connects two channels if any weight of its filter is there, at
    whatever position.

    Args:
        model: A built `kt.SparseModel`, whose masks count and whose other kernels are taken to be
            whole; or another built functional or Sequential model, whose nonzero weights count. It
            is left unchanged.

    Returns:
        Counts by kernel and in total, the weights on paths, and what had to be assumed.

    Raises:
        TypeError: `model` is not a Keras 3 model.
        ValueError: It is not built or is subclassed, so that its calls of layers cannot be seen; or
            a layer cannot be copied.

    Example:

    ```python
    import keras
    import keras_tickets as kt
    import numpy as np

    layers = [keras.Input((2,)), keras.layers.Dense(2, name="a"), keras.layers.Dense(1, name="b")]
    model = kt.sparsify(keras.Sequential(layers), 0.0)
    kt.set_masks(model, {"a/kernel": np.eye(2), "b/kernel": np.array([[1], [0]])})
    found = kt.analysis.effective_sparsity(model)
    assert found.total.nonzeros == 3 and found.total.effective == 2
    ```

    References:
        - [Vysogorets and Kempe, 2023, "Connectivity matters: neural network pruning through the
          lens of effective sparsity"](https://arxiv.org/abs/2107.02306)
    """
    check_model(model)
    if not _keras_compat.is_graph(_keras_compat.called_layer(model)):
        raise ValueError(
            f"Model {model.name!r} is a subclassed model, whose calls of layers cannot be seen: "
            "paths through it cannot be found. Build it as a functional model."
        )
    plain, present = _with_ones(model)
    found = find_reachable(read(plain))
    paths = {id(variable): path for path, variable in weight_paths(plain).items()}
    live = {
        paths[key]: np.broadcast_to(places, present[paths[key]].shape)
        for key, places in found.places.items()
        if paths.get(key) in present
    }
    masks = {path: mask & live.get(path, False) for path, mask in present.items()}
    units = {paths[key]: counts for key, counts in found.units.items() if key in paths}
    rows = [
        EffectiveRow(
            path,
            present[path].size,
            int(np.count_nonzero(present[path])),
            int(np.count_nonzero(mask)),
            *units.get(path, (0, 0)),
        )
        for path, mask in masks.items()
    ]
    names = ("size", "nonzeros", "effective", "units", "disconnected")
    total = EffectiveRow("total", *(sum(getattr(row, name) for row in rows) for name in names))
    return EffectiveSparsity(rows, total, masks, found.assumed)


def _with_ones(model):
    """A plain copy of the model with ones in place of its weights, and its masks by kernel path."""
    masks = masks_over_weights(model, "Effective sparsity", maybe_none=True)
    plain = strip(model)
    present = {}
    asked = set(masks) or {kernel.path for kernel in find_kernels(plain)[0]}
    for kernel in all_kernels(plain):
        if masks:
            mask = masks.get(kernel.path, np.ones(kernel.shape, bool))
        else:
            mask = kernel.variable.numpy() != 0
        kernel.variable.assign(mask)
        if kernel.path in asked:
            present[kernel.path] = mask
    return plain, present
