"""Rankings of weights by scores, in NumPy; `_selection` is what ranks in graph."""

from collections.abc import Sequence

import numpy as np


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
