"""Rankings of weights by scores, in NumPy. In graph, `_selection` does this."""

from collections.abc import Sequence

import numpy as np


def check_scores(path: str, shape: tuple[int, ...], scores: np.ndarray) -> np.ndarray:
    """The scores of a kernel, as a vector.

    Args:
        path: Kernel path, for the errors.
        shape: Shape of the kernel.
        scores: What the user gave.

    Raises:
        ValueError: The scores do not have the kernel's shape, or one is NaN.
    """
    scores = np.asarray(scores)
    if scores.shape != shape:
        raise ValueError(f"`scores[{path!r}]` has shape {scores.shape}; the kernel has {shape}.")
    if np.isnan(scores).any():
        raise ValueError(f"`scores[{path!r}]` has NaN.")
    return scores.reshape(-1)


def highest(scores: Sequence[np.ndarray], count: int, floor: int = 0) -> list[np.ndarray]:
    """Marks the highest scores of several kernels, in one ranking of all.

    Ties go to the kernel that comes first, then to the lowest index.

    Args:
        scores: One vector for each kernel.
        count: Number of scores to mark.
        floor: Number of scores that are marked in each kernel at least, even if that exceeds
            `count`.

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
