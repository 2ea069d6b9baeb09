"""How much two sets of masks have in common."""

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_tickets._tables import render_table
from keras_tickets.analysis.networks import Masks, check_same_kernels, masks_of


@dataclasses.dataclass(frozen=True)
class OverlapRow:
    """The overlap of two masks of a kernel, or of all kernels.

    Attributes:
        path: Kernel path, or "total".
        size: Number of weights.
        a: Weights in the first mask.
        b: Weights in the second.
        both: Weights in both.
        expected_both: The mean of `both` for random masks with the same number of weights in each
            kernel.

    Example:

    ```python
    import keras_tickets as kt

    row = kt.analysis.OverlapRow("fc/kernel", size=100, a=20, b=10, both=5, expected_both=2.0)
    assert (row.union, row.iou, row.share) == (25, 0.2, 0.25)
    ```
    """

    path: str
    size: int
    a: int
    b: int
    both: int
    expected_both: float

    @property
    def union(self) -> int:
        """Weights in either."""
        return self.a + self.b - self.both

    @property
    def iou(self) -> float:
        """Intersection over union; 1 for two empty masks."""
        return self.both / self.union if self.union else 1.0

    @property
    def expected_iou(self) -> float:
        """Intersection over union if the intersection were `expected_both`."""
        union = self.a + self.b - self.expected_both
        return self.expected_both / union if union else 1.0

    @property
    def share(self) -> float:
        """Share of the first mask's weights that are in the second; 1 for an empty first mask."""
        return self.both / self.a if self.a else 1.0

    @property
    def expected_share(self) -> float:
        """What `share` is on average for random masks."""
        return self.expected_both / self.a if self.a else 1.0


@dataclasses.dataclass(frozen=True)
class Overlap:
    """The overlap of two sets of masks. Prints as a table.

    In the table, the number in parentheses is the mean for random masks of the same densities.

    Attributes:
        rows: Kernel by kernel.
        total: Over all kernels.

    Example:

    ```python
    import numpy as np
    import keras_tickets as kt

    found = kt.analysis.overlap({"fc": np.array([1, 1, 0, 0])}, {"fc": np.array([1, 0, 1, 0])})
    assert (found.total.both, found.total.expected_both) == (1, 1.0)
    print(found)
    ```
    """

    rows: list[OverlapRow]
    total: OverlapRow

    def __str__(self) -> str:
        columns = "kernel", "weights", "a", "b", "both", "IoU (random)", "a in b (random)"
        cells = [
            (
                row.path,
                *(f"{count:,}" for count in (row.size, row.a, row.b, row.both)),
                f"{row.iou:.4f} ({row.expected_iou:.4f})",
                f"{row.share:.4f} ({row.expected_share:.4f})",
            )
            for row in (*self.rows, self.total)
        ]
        return render_table(columns, cells, droppable=("weights", "b", "a in b (random)"))


def overlap(a: Masks, b: Masks) -> Overlap:
    """Measures the overlap of two sets of masks, compared with random masks.

    Args:
        a: Masks by kernel path, or a network whose masks are taken.
        b: The same, for the same kernels.

    Returns:
        Counts and shares by kernel and in total.

    Raises:
        ValueError: A network has no masks, or not the kernels or the shapes of the other.

    Example:

    ```python
    import numpy as np
    import keras_tickets as kt

    found = kt.analysis.overlap({"k": np.array([1, 1, 0, 0])}, {"k": np.array([1, 0, 1, 0])})
    assert found.total.both == 1 and found.total.iou == 1 / 3 and found.total.expected_both == 1.0
    ```
    """
    a, b = masks_of(a), masks_of(b)
    check_same_kernels(a, b)
    rows = [_row(path, a[path], b[path]) for path in a]
    sums = {
        name: sum(getattr(row, name) for row in rows)
        for name in ("size", "a", "b", "both", "expected_both")
    }
    return Overlap(rows, OverlapRow("total", **sums))


@dataclasses.dataclass(frozen=True, eq=False)
class Overlaps:
    """The overlap of each pair among several sets of masks, over all kernels.

    Attributes:
        names: What the sets are called, such as seeds.
        iou: (sets, sets) intersection over union.
        expected_iou: (sets, sets) the same for random masks with the same number of weights in each
            kernel; 1 on the diagonal, where a set meets itself.

    Example:

    ```python
    import numpy as np
    import keras_tickets as kt

    found = kt.analysis.overlaps({seed: {"fc": np.eye(3)} for seed in range(4)})
    assert found.iou.min() == found.mean == 1
    ```
    """

    names: list
    iou: np.ndarray
    expected_iou: np.ndarray

    @property
    def mean(self) -> float:
        """The mean of `iou` over the pairs of different sets."""
        return self._mean(self.iou)

    @property
    def expected_mean(self) -> float:
        """The mean of `expected_iou` over the pairs of different sets."""
        return self._mean(self.expected_iou)

    def _mean(self, values):
        return float(values[np.triu_indices(len(self.names), 1)].mean())


def overlaps(networks: Mapping[Any, Masks]) -> Overlaps:
    """Measures the overlap of each pair of networks, such as those of different seeds.

    Args:
        networks: `{name: masks}` of two or more networks with the same kernels, as in `overlap`.

    Returns:
        The pairs as matrices, and their means.

    Raises:
        ValueError: There are fewer than two; one has no masks; kernels or shapes differ.

    Example:

    ```python
    import keras_tickets as kt

    dense = kt.models.lenet_300_100((8,), classes=3)
    found = kt.analysis.overlaps({seed: kt.sparsify(dense, 0.9, seed=seed) for seed in range(3)})
    assert abs(found.mean - found.expected_mean) < 0.02
    ```

    References:
        - [Liu et al., 2020, "Topological insights into sparse neural networks"
          ](https://arxiv.org/abs/2006.14085), for comparing topologies of different seeds
    """
    if len(networks) < 2:
        raise ValueError(f"`networks` must be two or more. Received: {len(networks)}")
    masks = [masks_of(network) for network in networks.values()]
    iou, expected = np.eye(len(masks)), np.eye(len(masks))
    for i, j in itertools.combinations(range(len(masks)), 2):
        total = overlap(masks[i], masks[j]).total
        iou[i, j] = iou[j, i] = total.iou
        expected[i, j] = expected[j, i] = total.expected_iou
    return Overlaps(list(networks), iou, expected)


def _row(path, a, b):
    in_a, in_b = int(np.count_nonzero(a)), int(np.count_nonzero(b))
    both = int(np.count_nonzero(a & b))
    return OverlapRow(path, a.size, in_a, in_b, both, in_a * in_b / max(a.size, 1))
