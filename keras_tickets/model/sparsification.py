"""From a dense model to a sparse one: which layers are wrapped, and with which masks."""

import keras

from keras_tickets import _keras_compat, distributions, masks, structures
from keras_tickets._allocation import allocate
from keras_tickets._checks import check_model, check_one_of, check_seed
from keras_tickets._kernels.copies import copy_layer
from keras_tickets._kernels.find import Filters, Kernel, all_kernels, find_kernels, output_kernels
from keras_tickets._kernels.graphs import graph_of
from keras_tickets._storage import STORAGES, why_masked
from keras_tickets._warnings import warn
from keras_tickets.layers._sparse_root import SparseRoot
from keras_tickets.layers.sparse import Sparse
from keras_tickets.layers.sparse_dense import SparseDense
from keras_tickets.model.sparse_model import SparseModel
from keras_tickets.model.sparse_storage import sparse_layer
from keras_tickets.model.trained_weights import looks_trained


def sparsify(
    model: keras.Model,
    sparsity: float | dict[str, float],
    *,
    distribution: str | distributions.Distribution = "erk",
    structure: structures.Structure | None = None,
    mask: str | None = None,
    filters: Filters = None,
    seed: int = 0,
    in_place: bool = False,
    storage: str = "masked",
) -> SparseModel:
    """Makes a sparse model from a dense one.

    Under a `tf.distribute` strategy, call it in the `strategy.scope()` that will train the model.

    Args:
        model: Built Keras model: functional, Sequential, nested or subclassed. It is copied through
            `get_config`, weights included, and left as it is.
        sparsity: Share of zeros in [0, 1) over the masked kernels; or `{path regex: share}`, where
            the first match in order wins and kernels that match none stay dense.
        distribution: How the sparsity is shared among kernels: "uniform", "er", "erk", "global",
            or an object of `kt.distributions`. Not used with a dict of sparsities.
        structure: Which sets of weights the masks may leave: `None` for single weights, or an
            object of `kt.structures`.
        mask: How the first masks are drawn: "random"; "magnitude", which keeps the largest weights;
            or "ones", which keeps all, for methods that prune during training. With `None` the
            masks are random, unless the model is then compiled with a method that starts from all
            weights: it gets "ones".
        filters: Which kernels to mask: a regex, a list of regexes, or a function of the kernel
            path. By default all but embeddings, depthwise and Fourier kernels.
        seed: Non-negative integer for random masks. The same seed gives the same masks everywhere.
        in_place: Whether to wrap the model's own layers instead of copies, for models that cannot
            be copied.
        storage: "masked" keeps whole kernels and masks, for any layer and method. "sparse" puts a
            `kt.layers.SparseDense` in place of each Dense layer: with the same masks and values,
            but without an array of the kernel's size. Layers that cannot be stored so are masked;
            `kt.plan` and `kt.summary` list them with the reason.

    Returns:
        A `kt.SparseModel` that computes what `model` does, on masked kernels. It is not compiled.

    Raises:
        TypeError: `model` is not a Keras 3 model.
        ValueError: The model is not built or cannot be copied; an argument is out of range or
            unknown; a regex matches nothing; the sparsity cannot be reached.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    dense = keras.Sequential([keras.Input((16,)), keras.layers.Dense(32), keras.layers.Dense(4)])
    model = kt.sparsify(dense, 0.9, distribution="uniform")
    assert abs(model.sparsity - 0.9) < 0.01
    ```
    """
    if mask is not None:
        check_one_of("mask", mask, masks.MASKS)
    check_one_of("storage", storage, STORAGES)
    if storage == "sparse" and mask == "ones":
        raise ValueError(
            'With `storage="sparse"` a kernel always has as many weights as its first mask leaves: '
            '`mask` must be "random" or "magnitude". Received: mask=\'ones\''
        )
    check_seed(seed)
    check_model(model)
    if masks.masked_kernels(model):
        raise ValueError(
            f"`model` {model.name!r} is sparse already. Make it dense with `kt.strip`, or change "
            "its masks with `kt.set_masks`."
        )
    kernels, _ = find_kernels(model, filters)
    scores = {k.path: masks.initial_scores(k.path, k.variable, mask, seed) for k in kernels}
    chosen = allocate(kernels, sparsity, distribution, structure, scores).sparsity
    if mask in ("random", None) and any(chosen.values()) and looks_trained(model, kernels):
        warn(
            'The model looks trained, and mask="random" removes weights whatever their magnitude. '
            'Pass mask="magnitude" to keep the largest.'
        )
    _warn_of_lost_methods(model)
    each = _structures_of(model, kernels, structures.get(structure))
    options = {"mask": mask, "seed": seed}
    stored = _stored(model, kernels, chosen, each, options) if storage == "sparse" else {}
    return _wrap(model, kernels, chosen, each, options, in_place, stored)


def with_full_masks(
    model: keras.Model,
    filters: Filters = None,
    structure: structures.Structure | None = None,
) -> SparseModel:
    """A sparse model in which nothing is masked yet, for methods that prune during training.

    Args:
        model: As in `sparsify`.
        filters: As in `sparsify`.
        structure: As in `sparsify`.

    Returns:
        A `kt.SparseModel`, not compiled.

    Example:

    ```python
    import keras
    from keras_tickets.model import with_full_masks

    model = with_full_masks(keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)]))
    assert model.sparsity == 0 and len(model.masks) == 1
    ```
    """
    return sparsify(model, {"": 0.0}, structure=structure, mask="ones", filters=filters)


def _warn_of_lost_methods(model):
    lost = [
        name
        for name in ("train_step", "test_step", "predict_step", "compute_loss", "compute_metrics")
        if getattr(type(model), name) is not getattr(keras.Model, name)
    ]
    if lost:
        warn(
            f"{type(model).__name__} has its own {' and '.join(lost)}, which the sparse model does "
            "not use, because sparse optimizers need a training step of their own. Subclass "
            "`kt.SparseModel` to change them."
        )


def _structures_of(model, kernels: list[Kernel], structure) -> dict[int, structures.Structure]:
    """`{id of the variable: structure}`."""
    each = {id(kernel.variable): structure for kernel in kernels}
    at_output = structure.at_output()
    if at_output is not structure:
        each.update({id(kernel.variable): at_output for kernel in output_kernels(model)})
    return each


def _stored(model, kernels: list[Kernel], chosen, each, options) -> dict[int, SparseDense]:
    """`{id of a Dense layer: what stores it sparsely}`, for those that can be."""
    masked = [kernel for kernel in kernels if kernel.path in chosen]
    fits = {k.path: structures.fit(each[id(k.variable)], k, chosen[k.path]) for k in masked}
    layouts = {path: layout for path, (_, layout) in fits.items()}
    reasons = why_masked(model, masked, layouts, chosen)
    if masked and None not in reasons.values():
        warn(f'`storage="sparse"` changes nothing: no kernel can be stored so. Reasons: {reasons}')
    return {
        id(k.layer): sparse_layer(k, layouts[k.path], chosen[k.path], **options)
        for k in masked
        if reasons[k.path] is None
    }


def _wrap(model, kernels: list[Kernel], chosen, each, options, in_place, stored) -> SparseModel:
    by_variable = {id(k.variable): chosen[k.path] for k in kernels if k.path in chosen}
    names = {id(k.variable): k.path for k in kernels}
    owners: dict[int, keras.layers.Layer] = {}

    def convert(layer, wrapper=Sparse):
        if not isinstance(layer, keras.layers.Layer):
            return layer
        own = all_kernels(layer)
        shares = {k.path: by_variable[id(k.variable)] for k in own if id(k.variable) in by_variable}
        for kernel in own:
            owner = owners.setdefault(id(kernel.variable), layer)
            if owner is not layer and id(kernel.variable) in by_variable:
                raise ValueError(
                    f"Layers {owner.name!r} and {layer.name!r} share kernel {kernel.path!r}, which "
                    "can have only one mask. Leave it out with `filters`, or put both layers into "
                    "one subclassed model or layer."
                )
        if id(layer) in stored:
            return stored[id(layer)]
        layer = layer if in_place else copy_layer(layer)
        if not shares and wrapper is Sparse:
            return layer
        structure = {k.path: each[id(k.variable)] for k in own if k.path in shares}
        if len(set(map(id, structure.values()))) == 1:
            structure = next(iter(structure.values()))
        sparse = wrapper(layer, sparsity=shares, structure=structure or None, **options)
        sparse.names = {k.path: names[id(k.variable)] for k in own if k.path in shares}
        return sparse

    inputs, outputs = graph_of(model, convert, lambda model: convert(model, SparseRoot))
    sparse = SparseModel(inputs, outputs, name=model.name)
    _keras_compat.copy_settings(model, sparse)
    return sparse
