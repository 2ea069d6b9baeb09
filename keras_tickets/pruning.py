"""`kt.prune`: a sparse model from scores, in one shot or in rounds."""

from collections.abc import Callable, Mapping

import keras
import numpy as np

from keras_tickets import _keras_compat, masks, scoring
from keras_tickets._checks import check_integer, check_model, check_one_of, check_sparsity
from keras_tickets._kernels.find import Filters, all_kernels
from keras_tickets._selection.counts import nonzeros, sparsity_of
from keras_tickets._selection.ranking import check_scores, highest
from keras_tickets._warnings import warn
from keras_tickets.layers.sparse import Sparse
from keras_tickets.model import SparseModel, with_full_masks
from keras_tickets.optimizers.magnitude_pruning import SCOPES
from keras_tickets.structures import Structure

__all__ = ["prune"]


def prune(
    model: keras.Model,
    scores: Mapping[str, np.ndarray] | Callable[[keras.Model], dict] | str,
    sparsity: float,
    *,
    scope: str = "global",
    iterations: int = 1,
    floor: int = 0,
    filters: Filters = None,
    structure: Structure | None = None,
) -> SparseModel:
    """Makes a sparse model whose masks keep the weights with the highest scores.

    Args:
        model: Built dense Keras model; it is copied and left as it is.
        scores: `{kernel path: array}` from `kt.scoring`; a function of the model that returns such
            a dict, for example `functools.partial(kt.scoring.snip, x=x, y=y, loss=loss)`; or
            "magnitude", "random" or "synflow".
        sparsity: Share of zeros in [0, 1) over the masked kernels.
        scope: "global" for one ranking of all weights, whose total is exact; "local" for the same
            sparsity in each kernel. Ties go to the earlier kernel, then to the lowest flat index.
        iterations: Number of rounds. Each scores the model as pruned so far, and lowers the density
            by the same factor. More than 1 needs `scores` to be a function or a name.
        floor: The smallest number of weights that any kernel keeps.
        filters: Which kernels to mask: a regex, a list of regexes, or a function of the kernel
            path. By default all but embeddings, depthwise and Fourier kernels.
        structure: Which sets of weights stay or go together, by the mean of their scores: `None`
            for single weights, or an object of `kt.structures`, which needs `scope="local"`.

    Returns:
        A `kt.SparseModel`, not compiled. If the model has no kernels, nothing is masked.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: An argument is out of range or unknown, or scores do not fit the model.

    Warns:
        UserWarning: A kernel has lost all its weights.

    Example:

    ```python
    import keras_tickets as kt

    model = kt.prune(kt.models.lenet_300_100(), "synflow", 0.95, iterations=10)
    assert abs(model.sparsity - 0.95) < 1e-3
    ```

    References:
        - [Tanaka et al., 2020, "Pruning neural networks without any data by iteratively conserving
          synaptic flow", Algorithm 1](https://arxiv.org/abs/2006.05467), for the rounds
    """
    check_model(model)
    sparsity = check_sparsity(sparsity)
    check_integer("iterations", iterations, low=1)
    check_one_of("scope", scope, SCOPES)
    check_integer("floor", floor, low=0)
    if structure is not None and scope == "global":
        raise ValueError(
            f'`scope` must be "local" with a structure: "global" ranks single weights. '
            f"Received: scope={scope!r}, structure={structure!r}"
        )
    score = _scorer(scores, iterations)
    pruned = with_full_masks(model, filters, structure)
    by_path = masks.whole_kernels(pruned, "Pruning")
    records = list(by_path.values())
    if not records:
        return pruned
    sizes = [record.size for record in records]
    for i in range(1, iterations + 1):
        share = 1 - (1 - sparsity) ** (i / iterations) if i < iterations else sparsity
        scored = score(pruned)
        ranked = [_checked(scored, path, record) for path, record in by_path.items()]
        if scope == "global":
            parts = highest(ranked, nonzeros(sum(sizes), share), floor)
        else:
            parts = [
                _highest_units(record, values, share, floor)
                for record, values in zip(records, ranked, strict=True)
            ]
        for record, part in zip(records, parts, strict=True):
            record.set(part.reshape(record.mask.shape))
    settle_counts(pruned, records)
    collapsed = [path for path, record in by_path.items() if not record.count()]
    if collapsed:
        warn(
            f"Layer collapse: no weight is left in {', '.join(collapsed)}. Use a lower sparsity, "
            '`floor`, `scope="local"`, or synflow in rounds.'
        )
    return pruned


def _highest_units(record, scores: np.ndarray, sparsity: float, floor: int) -> np.ndarray:
    """The mask of the units of one kernel with the highest scores."""
    left = max(nonzeros(record.size, sparsity), min(floor, record.size))
    if record.layout.units == record.size:
        return highest([scores], left)[0]
    return record.layout.draw(scores.reshape(record.mask.shape), sparsity_of(record.size, left))


def _scorer(scores, iterations) -> Callable:
    if isinstance(scores, str):
        need_data = [name for name, score in scoring.SCORES.items() if "x" in scoring.takes(score)]
        allowed = [name for name in scoring.SCORES if name not in need_data]
        if scores not in allowed:
            raise ValueError(
                f"`scores` must be one of {tuple(allowed)}, a function or a dict. A score that "
                f"needs data ({', '.join(need_data)}) is passed as a function of the model alone: "
                "functools.partial(kt.scoring.snip, x=x, y=y, loss=loss). "
                f"Received: scores={scores!r}"
            )
        return scoring.SCORES[scores]
    if callable(scores):
        return scores
    if not isinstance(scores, Mapping):
        raise TypeError(
            f"`scores` must be a dict, a function or a name. Received: scores={scores!r}"
        )
    if iterations > 1:
        raise ValueError(
            "`iterations` must be 1 with a dict of scores, which cannot be computed again: pass a "
            f"function or a name. Received: iterations={iterations}"
        )
    return lambda model: scores


def _checked(scores, path, record) -> np.ndarray:
    """The flat scores of a kernel; -inf where its mask is already `False`."""
    if path not in scores:
        raise ValueError(
            f"`scores` must have an array for every kernel; {path!r} is missing. Received: scores "
            f"for {list(scores)}"
        )
    score = check_scores(path, tuple(record.kernel.shape), scores[path])
    return np.where(record.mask.numpy().reshape(-1), score, -np.inf)


def settle_counts(model, records) -> None:
    """Sets the target of each kernel to the sparsity of its mask, in its layer's config too."""
    shares = {}
    for record in records:
        record.sparsity = sparsity_of(record.size, max(record.count(), 1))
        shares[id(record.kernel)] = record.sparsity
    for layer in _keras_compat.all_layers(model):
        if isinstance(layer, Sparse):
            own = all_kernels(layer.layer)
            layer.sparsity = {
                k.path: shares[id(k.variable)] for k in own if id(k.variable) in shares
            }
