"""A table of a model's kernels, with sparsity and cost, before and after `kt.sparsify`."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import keras
import numpy as np

from keras_tickets import distributions, masks, structures
from keras_tickets._checks import check_model, check_sparsity
from keras_tickets._kernels.find import Filters, Kernel, Skipped, find_kernels
from keras_tickets._tables import count_text, fill, list_text, render_table, shape_text
from keras_tickets._warnings import warn
from keras_tickets.distributions import Allocation, Custom
from keras_tickets.flops import kernel_costs

__all__ = ["PlanRow", "SparsityPlan", "plan", "summary"]

SHORTFALL = 0.01
SHOWN = 5


@dataclasses.dataclass(frozen=True)
class PlanRow:
    """A masked kernel: a row of `kt.SparsityPlan`.

    Attributes:
        path: Kernel path.
        shape: Shape of the kernel.
        sparsity: Target share of zeros.
        nonzeros: Number of weights that the mask leaves.
        flops: Operations of a forward pass for one sample; `None` if the size of the model's input
            is not known.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, name="head")])
    row = kt.plan(model, 0.75).rows[0]
    assert row.path == "head/kernel" and row.size == 32 and row.nonzeros == 8
    ```
    """

    path: str
    shape: tuple[int, ...]
    sparsity: float
    nonzeros: int
    flops: float | None

    @property
    def size(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)

    @property
    def actual(self) -> float:
        """Actual share of zeros, which counts whole weights."""
        return 1 - self.nonzeros / self.size


@dataclasses.dataclass(frozen=True)
class SparsityPlan:
    """The masked kernels of a model and what stays dense. Prints as a table.

    Attributes:
        rows: One `PlanRow` for each masked kernel, in layer order.
        skipped: `(path, reason)` for each kernel that has no mask.
        weights: Number of weights of the model, with biases and statistics.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    planned = kt.plan(model, 0.75)
    assert planned.sparsity == 0.75 and planned.sparsity_all_weights == 24 / 36
    print(planned)
    ```
    """

    rows: list[PlanRow]
    skipped: list[tuple[str, str]]
    weights: int

    @property
    def nonzeros(self) -> int:
        """Number of weights that the masks leave."""
        return sum(row.nonzeros for row in self.rows)

    @property
    def sparsity(self) -> float:
        """Share of zeros over the masked kernels; 0 if there are none."""
        size = sum(row.size for row in self.rows)
        return 1 - self.nonzeros / size if size else 0.0

    @property
    def sparsity_all_weights(self) -> float:
        """Share of masked weights over all weights of the model."""
        zeros = sum(row.size for row in self.rows) - self.nonzeros
        return zeros / self.weights if self.weights else 0.0

    def __str__(self) -> str:
        table = render_table(
            ("kernel", "shape", "target", "actual", "nonzeros", "FLOPs"),
            [
                (
                    row.path,
                    shape_text(row.shape),
                    f"{row.sparsity:.4f}",
                    f"{row.actual:.4f}",
                    f"{row.nonzeros:,}",
                    "?" if row.flops is None else f"{row.flops:,.0f}",
                )
                for row in self.rows
            ],
            droppable=("target", "FLOPs"),
        )
        total = (
            f"sparsity {self.sparsity:.4f} over the masked kernels, "
            f"{self.sparsity_all_weights:.4f} over all {self.weights:,} weights"
        )
        lines = [table, fill(total)]
        by_reason = {}
        for path, reason in self.skipped:
            by_reason.setdefault(reason, []).append(path)
        for reason, paths in by_reason.items():
            more = [f"and {len(paths) - SHOWN} more"] if len(paths) > SHOWN else []
            lines.append(list_text(f"no mask ({reason})", paths[:SHOWN] + more))
        return "\n".join(lines)

    __repr__ = __str__


def plan(
    model: keras.Model,
    sparsity: float | dict[str, float],
    *,
    distribution: str | distributions.Distribution = "erk",
    structure: structures.Structure | None = None,
    filters: Filters = None,
) -> SparsityPlan:
    """Shows what `kt.sparsify` would do with the same arguments, without doing it.

    Args:
        model: Built Keras model.
        sparsity: Share of zeros in [0, 1) over the masked kernels, or `{path regex: share}`.
        distribution: How the sparsity is shared among kernels: "uniform", "er", "erk", "global", or
            an object of `kt.distributions`. "global" ranks random scores, as with the default
            `mask` and `seed` of `kt.sparsify`.
        structure: Which sets of weights the masks may leave: `None` for single weights, or an
            object of `kt.structures`.
        filters: Which kernels to mask: a regex, a list of regexes, or a function of the kernel
            path. By default all but embeddings, depthwise and Fourier kernels.

    Returns:
        The plan. Print it for a table.

    Raises:
        TypeError: `model` is not a Keras 3 model, or an argument is of the wrong type.
        ValueError: The model is not built; an argument is out of range or unknown; a regex matches
            nothing; the sparsity cannot be reached.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    model = keras.Sequential([keras.Input((784,)), keras.layers.Dense(300), keras.layers.Dense(10)])
    print(kt.plan(model, 0.9))
    ```
    """
    check_model(model)
    kernels, skipped = find_kernels(model, filters)
    scores = {}
    if getattr(distributions.get(distribution), "needs_scores", False):
        scores = {
            k.path: masks.initial_scores(k.path, k.variable, "random", seed=0) for k in kernels
        }
    chosen = allocate(kernels, sparsity, distribution, structure, scores)
    masked = [kernel for kernel in kernels if kernel.path in chosen.sparsity]
    structure = structures.get(structure)
    counts = {}
    for kernel in masked:
        share, layout = structures.fit(structure, kernel, chosen.sparsity[kernel.path])
        counts[kernel.path] = layout.count(share)
    left_dense = [Skipped(path, reason) for path, reason in chosen.left_dense.items()]
    return _plan(model, masked, chosen.sparsity, counts, left_dense + skipped)


def summary(sparse_model: keras.Model) -> SparsityPlan:
    """Shows the masked kernels of a model as they are at present.

    Args:
        sparse_model: A `kt.SparseModel`, or any Keras model with `kt.layers.Sparse` layers.

    Returns:
        The plan, with targets and present counts. Print it for a table.

    Raises:
        TypeError: `sparse_model` is not a Keras 3 model.
        ValueError: `sparse_model` is not built.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    dense = keras.Sequential([keras.Input((784,)), keras.layers.Dense(300)])
    print(kt.summary(kt.sparsify(dense, 0.9)))
    ```
    """
    check_model(sparse_model)
    kernels, skipped = find_kernels(sparse_model, filters=lambda path: True, frozen=True)
    records = {id(record.kernel): record for record in masks.masked_kernels(sparse_model)}
    masked = [kernel for kernel in kernels if id(kernel.variable) in records]
    left_dense = [
        Skipped(kernel.path, "left dense")
        for kernel in kernels
        if id(kernel.variable) not in records
    ]
    targets = {k.path: records[id(k.variable)].sparsity for k in masked}
    counts = {k.path: records[id(k.variable)].count() for k in masked}
    return _plan(sparse_model, masked, targets, counts, left_dense + skipped)


def allocate(
    kernels: Sequence[Kernel],
    sparsity: float | Mapping[str, float],
    distribution: str | distributions.Distribution = "erk",
    structure: structures.Structure | None = None,
    scores: Mapping[str, np.ndarray] | None = None,
) -> Allocation:
    """Resolves the arguments of `kt.sparsify` and `kt.plan` to a sparsity for each kernel.

    Args:
        kernels: The kernels to mask, in layer order.
        sparsity: Share of zeros in [0, 1), or `{path regex: share}`.
        distribution: As in `kt.sparsify`.
        structure: As in `kt.sparsify`.
        scores: `{kernel path: array}`, for distributions that rank weights.

    Returns:
        The sparsity of each kernel, and which kernels stay dense.

    Raises:
        TypeError: `sparsity` is not a number.
        ValueError: An argument is out of range or unknown, or the sparsity cannot be reached.

    Warns:
        UserWarning: The sparsity over all given kernels falls short by more than 0.01.
    """
    structure = structures.get(structure)
    if isinstance(sparsity, Mapping):
        distribution, sparsity = Custom(sparsity), 0.0
    else:
        distribution, sparsity = distributions.get(distribution), check_sparsity(sparsity)
    chosen = _share(kernels, sparsity, distribution, structure, scores)
    shares, kept = {}, 0
    for kernel in kernels:
        if kernel.path not in chosen.sparsity:
            kept += kernel.size
            continue
        share, layout = structures.fit(structure, kernel, chosen.sparsity[kernel.path])
        shares[kernel.path] = share
        kept += layout.count(share)
    if not isinstance(distribution, Custom):
        _warn_of_shortfall(kernels, sparsity, structure, shares, kept)
    return Allocation(shares, chosen.left_dense)


def _share(kernels, sparsity, distribution, structure, scores) -> Allocation:
    if structure.sparsity is not None and not isinstance(distribution, Custom):
        return Allocation({kernel.path: sparsity for kernel in kernels})
    ranks = getattr(distribution, "needs_scores", False)
    if ranks and not isinstance(structure, structures.Unstructured):
        raise ValueError(
            f"{distribution!r} ranks single weights and cannot be used with "
            f"structure={structure!r}; use another distribution."
        )
    return distribution.allocate(kernels, sparsity, scores)


def _warn_of_shortfall(kernels, sparsity, structure, shares, kept):
    size = sum(kernel.size for kernel in kernels)
    reached = 1 - kept / size if size else sparsity
    if sparsity - reached > SHORTFALL:
        why = "only whole weights can be masked"
        if not isinstance(structure, structures.Unstructured):
            why = f"the masks follow {structure!r}"
        dense = [kernel.path for kernel in kernels if not shares.get(kernel.path)]
        if dense:
            why = f"{dense} stay dense"
        warn(
            f"The sparsity falls short: {sparsity:.4f} was asked for, {reached:.4f} is reached "
            f"over {count_text(size, 'weight')} in {count_text(len(kernels), 'kernel')}, because "
            f"{why}."
        )


def _plan(model, kernels, targets, counts, skipped):
    costs = kernel_costs(model, kernels)
    rows = [
        PlanRow(
            path=kernel.path,
            shape=kernel.shape,
            sparsity=targets[kernel.path],
            nonzeros=counts[kernel.path],
            flops=cost.count(counts[kernel.path]) if (cost := costs[kernel.path]) else None,
        )
        for kernel in kernels
    ]
    weights = sum(
        math.prod(variable.shape)
        for variable in model.weights
        if keras.backend.is_float_dtype(variable.dtype)
    )
    return SparsityPlan(rows, [dataclasses.astuple(entry) for entry in skipped], weights)
