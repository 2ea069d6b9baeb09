"""Bézier curves between networks."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_tickets._checks import check_number
from keras_tickets.analysis.networks import Network, weight_masks_of, weights_of
from keras_tickets.masks import whole_kernels


@dataclasses.dataclass(frozen=True, eq=False)
class BezierCurve:
    """A Bézier curve between two networks, from `kt.analysis.bezier_curve`.

    Attributes:
        points: The first network, the control points in their order and the second network, each as
            `{weight path: array}`. Two points make a line, three a quadratic curve.
        masks: `{kernel path: boolean array}`, the weights that may be nonzero along the curve.
        losses: (steps,) the loss of each training step, at a random point of the curve each.

    Example:

    ```python
    import keras_tickets as kt
    import numpy as np

    ends = {"fc/bias": np.array([0.0])}, {"fc/bias": np.array([4.0])}
    curve = kt.analysis.BezierCurve((ends[0], {"fc/bias": np.array([6.0])}, ends[1]), {})
    assert curve.at(0.5)["fc/bias"] == 4.0  # (0 + 2 * 6 + 4) / 4
    ```

    References:
        - [Garipov et al., 2018, "Loss surfaces, mode connectivity, and fast ensembling of DNNs",
          section 3](https://arxiv.org/abs/1802.10026)
    """

    points: Sequence[Mapping[str, np.ndarray]]
    masks: Mapping[str, np.ndarray]
    losses: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0))

    def at(self, t: float) -> dict[str, np.ndarray]:
        """The network at a point of the curve.

        Args:
            t: Number in [0, 1]; at 0 and 1, the two networks as they are.

        Returns:
            `{weight path: array}` in the dtypes of the first network. Integers stay as they are in
            the first network.
        """
        t = check_number("t", t, "[0, 1]")
        return {path: self._weight(path, t) for path in self.points[0]}

    def _weight(self, path, t):
        values = [np.asarray(point[path]) for point in self.points]
        dtype = values[0].dtype
        if t == 0 or dtype.kind in "iu":
            return values[0]
        if t == 1:
            return values[-1].astype(dtype)
        return de_casteljau([value.astype(np.float64) for value in values], t).astype(dtype)


def de_casteljau(values: Sequence[Any], t: Any) -> Any:
    """The point of a Bézier curve, by repeated linear interpolation.

    Args:
        values: The ends and the control points between them: arrays or tensors of one shape.
        t: Number or scalar tensor in [0, 1].
    """
    while len(values) > 1:
        values = [a + t * (b - a) for a, b in zip(values, values[1:], strict=False)]
    return values[0]


def line_between(model: keras.Model, other: Network) -> BezierCurve:
    """The straight line between two networks, in the space of the union of their masks.

    Args:
        model: Built Keras model.
        other: Another model, a ticket or arrays by path. Where it has no masks, the weights that
            are not 0 count as its mask.

    Raises:
        TypeError: `other` is none of these.
        ValueError: The paths or shapes differ, or kernels are stored sparsely.
    """
    a, b = weights_of(model), weights_of(other)
    for path, value in a.items():
        if path not in b or np.shape(b[path]) != value.shape:
            found = np.shape(b[path]) if path in b else "none"
            raise ValueError(
                f"Weight {path!r} has shape {value.shape} in the first network; in the second: "
                f"{found}."
            )
    own = {} if isinstance(other, Mapping) else weight_masks_of(other, maybe_none=True)
    masks = {
        path: record.to_mask() | own.get(path, np.asarray(b[path]) != 0)
        for path, record in whole_kernels(model, "A line between networks").items()
    }
    return BezierCurve((a, {path: np.asarray(b[path]) for path in a}), masks)
