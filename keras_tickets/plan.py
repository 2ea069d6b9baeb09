"""A table of a model's kernels, with sparsity and cost, before and after `kt.sparsify`."""

import dataclasses
import math

import keras

from keras_tickets import distributions, masks, structures
from keras_tickets._accounting.costs import find_uses
from keras_tickets._accounting.memory import KernelSize, Memory, memory_of, slots_per_weight
from keras_tickets._accounting.sizes import itemsize, stored_kernel, stored_sizes
from keras_tickets._accounting.sparsity_plan import PlanRow, SparsityPlan
from keras_tickets._allocation import allocate
from keras_tickets._checks import check_model, check_one_of
from keras_tickets._kernels.find import Filters, Skipped, counted_kernels, find_kernels
from keras_tickets._masked_kernel import MaskedKernel
from keras_tickets._storage import STORAGES, why_masked

__all__ = ["Memory", "PlanRow", "SparsityPlan", "plan", "summary"]


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
        if isinstance(record, MaskedKernel):
            layouts[kernel.path] = record.layout
    with_masks = [kernel for kernel in masked if kernel.path in layouts]
    reasons = why_masked(sparse_model, with_masks, layouts, targets)
    made = _plan(sparse_model, masked, targets, counts, storages, reasons, left_dense + skipped)
    storage = "sparse" if "sparse" in storages.values() else "masked"
    drawn = {kernel.path: records[id(kernel.variable)].to_mask() for kernel in masked}
    sizes = _sizes(sparse_model, masked, counts, layouts, drawn)
    return dataclasses.replace(made, storage=storage, sizes=sizes)


def _plan(model, kernels, targets, counts, storages, reasons, skipped):
    masked = {kernel.path: kernel for kernel in kernels}
    multiplied = {kernel.path: kernel for kernel in counted_kernels(model)}
    uses = find_uses(model, (multiplied | masked).values())
    costs = uses.kernels
    taken = {k.path: masks.multiplied(k.variable, counts[k.path]) for k in kernels}
    rows = [
        PlanRow(
            path=kernel.path,
            shape=kernel.shape,
            sparsity=targets[kernel.path],
            nonzeros=counts[kernel.path],
            flops=cost.count(taken[kernel.path]) if (cost := costs[kernel.path]) else None,
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
    whole = {path: kernel.size for path, kernel in multiplied.items()}
    return SparsityPlan(
        rows,
        [dataclasses.astuple(entry) for entry in skipped],
        weights,
        memory,
        slots,
        flops=uses.operations(whole | {path: taken[path] for path in whole.keys() & taken}),
        dense_flops=uses.operations(whole),
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
