"""A sparsity for each kernel, from what pruning each alone costs."""

import dataclasses
import math
import re
from collections.abc import Mapping

import numpy as np

Curves = Mapping[str, tuple[np.ndarray, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Suggestion:
    """Sparsities of kernels that together cost little, as far as their costs add up.

    Attributes:
        sparsities: `{regex of a kernel path: share of zeros}`, for `kt.sparsify` and `kt.plan`.
        sparsity: Share of zeros over these kernels.
        loss: Expected mean loss before any training: that of the model, plus what each kernel
            costs alone.
        accuracy: Expected accuracy, in the same way; never below 0 or above 1.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    suggested = kt.analysis.Suggestion({"^fc/kernel$": 0.75}, 0.75, loss=0.4, accuracy=0.9)
    dense = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, name="fc")])
    assert kt.sparsify(dense, suggested.sparsities, mask="magnitude").sparsity == 0.75
    ```
    """

    sparsities: dict[str, float]
    sparsity: float
    loss: float
    accuracy: float


def suggest(
    curves: Curves,
    sizes: Mapping[str, int],
    sparsity: float,
    loss: float,
    accuracy: float,
    all_or_none: bool = False,
) -> Suggestion:
    """Shares a sparsity among kernels at the least sum of their losses.

    Each kernel's loss is taken to be the lower convex hull of its curve, linear between the points.
    Then the best choice takes the cheapest stretches of all hulls, by loss per zero, until there
    are enough zeros; only the last one is taken in part, unless it must be taken whole.

    Args:
        curves: `{kernel path: (zeros, changes)}`: (points,) numbers of zeros, increasing from what
            the kernel has now; (points, 2) changes in loss and in accuracy, from 0.
        sizes: `{kernel path: number of weights}`.
        sparsity: Share of zeros over all kernels.
        loss: That of the model as it is.
        accuracy: That of the model as it is.
        all_or_none: Whether a kernel has the zeros of one of its points, not of one between.

    Returns:
        The sparsities and what they are expected to cost.

    Raises:
        ValueError: The curves do not reach so many zeros.
    """
    zeros = {path: float(points[0]) for path, (points, _) in curves.items()}
    size = sum(sizes.values())
    stretches = []
    for path, (points, changes) in curves.items():
        corners = _lower_hull(points, changes[:, 0])
        for start, end in zip(corners[:-1], corners[1:], strict=True):
            length, change = points[end] - points[start], changes[end] - changes[start]
            stretches.append((change[0] / length, path, length, change))
    left = sparsity * size - sum(zeros.values())
    if left > sum(length for _, _, length, _ in stretches):
        highest = sum(points[-1] for points, _ in curves.values()) / size
        raise ValueError(
            f"`sparsity` must be at most {math.floor(highest * 1e4) / 1e4}, which is as far as the "
            f"kernels were scanned. Received: sparsity={sparsity}"
        )
    total = np.array([loss, accuracy])
    for _, path, length, change in sorted(stretches, key=lambda stretch: stretch[0]):
        part = min(max(left, 0.0), length)
        if all_or_none:
            part = length if left > 0 else 0
        zeros[path] += part
        total += change * part / length
        left -= part
    shares = {f"^{re.escape(path)}$": float(zeros[path] / sizes[path]) for path in curves}
    reached = sum(zeros.values()) / size
    return Suggestion(shares, float(reached), float(total[0]), float(np.clip(total[1], 0, 1)))


def _lower_hull(x: np.ndarray, y: np.ndarray) -> list[int]:
    """Indices of the points, in the order of increasing x, on their lower convex hull."""
    hull: list[int] = []
    for point in range(len(x)):
        while len(hull) > 1 and not _turns_up(x, y, hull[-2], hull[-1], point):
            hull.pop()
        hull.append(point)
    return hull


def _turns_up(x, y, a, b, c):
    """Whether the line through three points is steeper from b to c than from a to b."""
    return (y[b] - y[a]) * (x[c] - x[b]) < (y[c] - y[b]) * (x[b] - x[a])
