"""`Global`: one ranking of all weights."""

import math
from collections.abc import Sequence

import keras
import numpy as np

from keras_tickets._checks import check_sparsity
from keras_tickets.distributions.distribution import (
    Allocation,
    Distribution,
    nonzeros,
)


@keras.saving.register_keras_serializable("keras_tickets")
class Global(Distribution):
    """One ranking of all weights: those with the highest scores stay, wherever they are.

    The total is exact: `nonzeros` of all weights together. Ties go to the kernel that comes first,
    then to the lowest flat index. `kt.sparsify` passes the scores by which it draws the first
    masks: random ones, or magnitudes.

    Raises:
        ValueError: From `allocate`, where `scores` are missing or not of the kernels' shapes.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4), keras.layers.Dense(2)])
    sparse = kt.sparsify(model, 0.5, distribution="global", mask="magnitude")
    ```
    """

    needs_scores = True

    def allocate(self, kernels, sparsity, scores=None):
        sparsity = check_sparsity(sparsity)
        if not kernels:
            return Allocation({})
        ranked = [self._scores(kernel, scores) for kernel in kernels]
        parts = highest(ranked, nonzeros(sum(kernel.size for kernel in kernels), sparsity))
        chosen = {}
        for kernel, part in zip(kernels, parts, strict=True):
            if not part.any():
                raise ValueError(
                    f"sparsity={sparsity} with {self!r} leaves no weight in kernel "
                    f"{kernel.path!r} of shape {kernel.shape}. Lower the sparsity, leave that "
                    'kernel out with `filters`, or use distribution="erk".'
                )
            chosen[kernel.path] = sparsity_of(kernel.size, np.count_nonzero(part))
        return Allocation(chosen)

    def _scores(self, kernel, scores):
        if scores is None or kernel.path not in scores:
            raise ValueError(
                'distribution="global" ranks all weights by their scores, and there are none for '
                f"{kernel.path!r}. Pass `scores={{kernel path: array}}`."
            )
        return check_scores(kernel.path, kernel.shape, scores[kernel.path])


def check_scores(path: str, shape: tuple[int, ...], scores: np.ndarray) -> np.ndarray:
    """The scores of a kernel, as a vector.

    Raises:
        ValueError: They are not of the kernel's shape, or one is NaN.
    """
    scores = np.asarray(scores)
    if scores.shape != shape:
        raise ValueError(f"`scores[{path!r}]` has shape {scores.shape}; the kernel has {shape}.")
    if np.isnan(scores).any():
        raise ValueError(f"`scores[{path!r}]` has NaN.")
    return scores.reshape(-1)


def highest(scores: Sequence[np.ndarray], count: int, floor: int = 0) -> list[np.ndarray]:
    """Marks the highest of the scores of several kernels, in one ranking.

    Ties go to the kernel that comes first, then to the lowest index.

    Args:
        scores: One vector for each kernel.
        count: Number of scores to mark.
        floor: Number of scores to mark in each kernel at least, whatever `count` is.

    Returns:
        One boolean vector for each kernel.
    """
    first = [np.zeros(score.size, dtype=bool) for score in scores]
    for mask, score in zip(first, scores, strict=True):
        mask[np.argsort(-score, kind="stable")[:floor]] = True
    marked = np.concatenate(first)
    order = np.argsort(-np.concatenate(scores), kind="stable")
    order = order[~marked[order]]
    marked[order[: max(count - np.count_nonzero(marked), 0)]] = True
    return np.split(marked, np.cumsum([score.size for score in scores])[:-1])


def sparsity_of(size: int, kept: int) -> float:
    """A sparsity for which `nonzeros` is exactly `kept`, also where rounding is against it."""
    sparsity = (size - kept) / size
    return sparsity if nonzeros(size, sparsity) == kept else math.nextafter(sparsity, 1.0)
