"""A table of a model's kernels, with sparsity and cost, before and after `kt.sparsify`."""

import dataclasses
import math

import keras

from keras_tickets import distributions, masks, structures
from keras_tickets._accounting.costs import find_uses
from keras_tickets._accounting.memory import KernelSize, Memory, memory_of, slots_per_weight
from keras_tickets._accounting.sizes import FORMATS, itemsize, stored_kernel, stored_sizes
from keras_tickets._allocation import allocate
from keras_tickets._checks import check_model, check_one_of
from keras_tickets._kernels.find import Filters, Skipped, find_kernels
from keras_tickets._storage import STORAGES, why_masked
from keras_tickets._tables import bytes_text, fill, list_text, render_table, shape_text

__all__ = ["Memory", "PlanRow", "SparsityPlan", "plan", "summary"]

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
        storage: How the kernel is or would be stored, "masked" or "sparse".
        why_masked: Why it cannot be stored sparsely; `None` where it can.

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
    storage: str = "masked"
    why_masked: str | None = None

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
        memory: `{"dense": …, "masked": …, "sparse": …}`: what the model takes by how its kernels
            are stored. Those that cannot be stored sparsely are masked in "sparse".
        slots_per_weight: Variables of the optimizer that `memory` counts for each weight; 1, as of
            SGD with momentum, for a model that is not compiled.
        storage: "sparse" where sparse storage was asked for or is there, otherwise "masked".
        sizes: `{format: bytes}` of all weights where kernels with zeros are stored as "dense";
            "bit_mask", values and one bit for each position; "csr" and "csc", of the kernel as a
            matrix with its last axis as columns, with indices of 32 bits; "n_of_m", values and
            their places in their groups, for structures with groups; "deltas", values and 8 bits
            for the distance from the one before, with zeros where that is too far, as many as
            random masks are expected to need where there are no masks yet.

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
    memory: dict[str, Memory] = dataclasses.field(default_factory=dict)
    slots_per_weight: int = 1
    storage: str = "masked"
    sizes: dict[str, int] = dataclasses.field(default_factory=dict)

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
        sparse = self.storage == "sparse"
        storage = ("storage",) if sparse else ()
        table = render_table(
            ("kernel", "shape", "target", "actual", "nonzeros", "FLOPs", *storage),
            [
                (
                    row.path,
                    shape_text(row.shape),
                    f"{row.sparsity:.4f}",
                    f"{row.actual:.4f}",
                    f"{row.nonzeros:,}",
                    "?" if row.flops is None else f"{row.flops:,.0f}",
                    *((row.storage,) if sparse else ()),
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
        for heading, paths in self._by_reason().items():
            more = [f"and {len(paths) - SHOWN} more"] if len(paths) > SHOWN else []
            lines.append(list_text(heading, paths[:SHOWN] + more))
        if self.memory:
            lines += ["", self._memory_table()]
            lines.append(fill(f"(slots: {self.slots_per_weight} a weight; without activations)"))
        if self.sizes:
            stored = [f"{FORMATS[name].text} {bytes_text(n)}" for name, n in self.sizes.items()]
            lines.append(list_text("stored", stored))
        return "\n".join(lines)

    def _by_reason(self) -> dict[str, list[str]]:
        """What stays dense, and beside sparse storage what is masked, with the reasons."""
        found: dict[str, list[str]] = {}
        if self.storage == "sparse":
            for row in self.rows:
                if row.storage == "masked":
                    found.setdefault(f"masked ({row.why_masked or 'asked for'})", []).append(
                        row.path
                    )
        for path, reason in self.skipped:
            found.setdefault(f"no mask ({reason})", []).append(path)
        return found

    def _memory_table(self) -> str:
        columns = ("weights", "masks", "gradients", "slots", "training", "disk", "ram")
        rows = [
            (storage, *(bytes_text(getattr(memory, column)) for column in columns))
            for storage, memory in self.memory.items()
        ]
        return render_table(("", *columns), rows)

    __repr__ = __str__


def plan(
    model: keras.Model,
    sparsity: float | dict[str, float],
    *,
    distribution: str | distributions.Distribution = "erk",
    structure: structures.Structure | None = None,
    filters: Filters = None,
    storage: str = "masked",
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
        storage: As in `kt.sparsify`.

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
    check_one_of("storage", storage, STORAGES)
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
    counts, layouts = {}, {}
    for kernel in masked:
        share, layout = structures.fit(structure, kernel, chosen.sparsity[kernel.path])
        counts[kernel.path], layouts[kernel.path] = layout.count(share), layout
    left_dense = [Skipped(path, reason) for path, reason in chosen.left_dense.items()]
    reasons = why_masked(model, masked, layouts, chosen.sparsity)
    storages = {path: "masked" if reason else storage for path, reason in reasons.items()}
    skipped = left_dense + skipped
    planned = _plan(model, masked, chosen.sparsity, counts, storages, reasons, skipped)
    sizes = _sizes(model, masked, counts, layouts, {})
    return dataclasses.replace(planned, storage=storage, sizes=sizes)


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
    storages, layouts = {}, {}
    for kernel in masked:
        record = records[id(kernel.variable)]
        storages[kernel.path] = record.storage
        if isinstance(record, masks.MaskedKernel):
            layouts[kernel.path] = record.layout
    with_masks = [kernel for kernel in masked if kernel.path in layouts]
    reasons = why_masked(sparse_model, with_masks, layouts, targets)
    made = _plan(sparse_model, masked, targets, counts, storages, reasons, left_dense + skipped)
    storage = "sparse" if "sparse" in storages.values() else "masked"
    drawn = {kernel.path: records[id(kernel.variable)].to_mask() for kernel in masked}
    sizes = _sizes(sparse_model, masked, counts, layouts, drawn)
    return dataclasses.replace(made, storage=storage, sizes=sizes)


def _plan(model, kernels, targets, counts, storages, reasons, skipped):
    costs = find_uses(model, kernels).kernels
    rows = [
        PlanRow(
            path=kernel.path,
            shape=kernel.shape,
            sparsity=targets[kernel.path],
            nonzeros=counts[kernel.path],
            flops=cost.count(counts[kernel.path]) if (cost := costs[kernel.path]) else None,
            storage=storages[kernel.path],
            why_masked=reasons.get(kernel.path),
        )
        for kernel in kernels
    ]
    others = _others(model, kernels)
    sizes = [
        KernelSize(row.size, row.nonzeros, itemsize(kernel.variable), row.why_masked is None)
        for row, kernel in zip(rows, kernels, strict=True)
    ]
    slots = slots_per_weight(model)
    slots = 1 if slots is None else slots
    weights = sum(kernel.size for kernel in kernels) + sum(math.prod(v.shape) for v in others)
    memory = memory_of(sizes, _bytes(others), slots)
    return SparsityPlan(
        rows, [dataclasses.astuple(entry) for entry in skipped], weights, memory, slots
    )


def _sizes(model, kernels, counts, layouts, drawn):
    stored = [
        stored_kernel(k.variable, counts[k.path], layouts.get(k.path), drawn.get(k.path))
        for k in kernels
    ]
    return stored_sizes(stored, _bytes(_others(model, kernels)))


def _others(model, kernels):
    """The other weights of a model."""
    own = {id(kernel.variable) for kernel in kernels}
    return [
        variable
        for variable in model.weights
        if keras.backend.is_float_dtype(variable.dtype) and id(variable) not in own
    ]


def _bytes(variables):
    return sum(math.prod(variable.shape) * itemsize(variable) for variable in variables)
