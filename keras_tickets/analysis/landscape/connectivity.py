"""Mode connectivity: the error along the line, or a curve, between two networks."""

import dataclasses
from collections.abc import Callable, Mapping

import keras
import numpy as np
import tensorflow as tf

from keras_tickets._checks import check_integer, check_model, check_one_of
from keras_tickets._kernels.paths import weight_paths
from keras_tickets.analysis.batches import Data, batches
from keras_tickets.analysis.evaluation import Evaluation
from keras_tickets.analysis.landscape.bezier import BezierCurve, line_between
from keras_tickets.analysis.networks import Network
from keras_tickets.analysis.statistics import RecomputedStatistics, statistics_paths
from keras_tickets.masks import whole_kernels

BATCH_NORM = ("interpolate", "keep", "recompute")


@dataclasses.dataclass(frozen=True, eq=False)
class Connectivity:
    """Errors and losses along the line, or a curve, between two networks.

    Attributes:
        alphas: (points,) from 0 (the first network) to 1 (the second).
        errors: `{name of the data: (points,)}`, share of misclassified examples.
        losses: `{name of the data: (points,)}`, mean loss; empty if no loss is known.
        batch_norm: How the statistics of batch normalization were computed along the line.

    Example:

    ```python
    import keras_tickets as kt
    import numpy as np

    errors = {"test": np.array([0.1, 0.4, 0.1])}
    line = kt.analysis.Connectivity(np.linspace(0, 1, 3), errors, {}, "keep")
    assert round(line.error_barriers["test"], 6) == 0.3
    ```
    """

    alphas: np.ndarray
    errors: dict[str, np.ndarray]
    losses: dict[str, np.ndarray]
    batch_norm: str

    @property
    def error_barriers(self) -> dict[str, float]:
        """`{name of the data: barrier}` of the error."""
        return {name: barrier(values) for name, values in self.errors.items()}

    @property
    def loss_barriers(self) -> dict[str, float]:
        """`{name of the data: barrier}` of the loss."""
        return {name: barrier(values) for name, values in self.losses.items()}


def barrier(values: np.ndarray) -> float:
    """The highest value along a line minus the mean of its two ends; never negative.

    Args:
        values: (points,) from one end to the other.

    Example:

    ```python
    import keras_tickets as kt

    assert kt.analysis.barrier([1.0, 3.0, 2.0]) == 1.5
    ```
    """
    return float(np.max(values) - (values[0] + values[-1]) / 2)


def connectivity(
    model_a: keras.Model,
    model_b: Network,
    data: Data | Mapping[str, Data],
    *,
    curve: BezierCurve | None = None,
    points: int = 30,
    batch_norm: str = "interpolate",
    train_data: Data | None = None,
    loss: Callable | str | None = None,
    batch_size: int = 256,
) -> Connectivity:
    """Evaluates networks on the line between two trained ones, or on a curve.

    All weights are interpolated, including those on only one of the masks. Two networks are
    connected (in the paper: stable) if the error barrier is small, say below 2 %. Neither model is
    changed. The statistics of batch normalization, which the papers say little about, can be
    interpolated as the weights are, kept as the first model has them, or recomputed at every point:
    the mean over the batches of `train_data` of each batch's mean and variance, with the model in
    training mode.

    Args:
        model_a: Built classifier with one output of shape (batch, classes).
        model_b: Another model, a `kt.Ticket` or `{weight path: array}` of the same paths and
            shapes.
        data: `(x, y)` as arrays, or an iterable of batches `(x, y)` that yields the same ones each
            time; or `{name: data}` for several data sets. `x` may be a dict or a list of arrays for
            a model with several inputs. Targets are integers, or vectors in the shape of the
            outputs.
        curve: A curve between the two networks, from `kt.analysis.bezier_curve`; by default, the
            straight line.
        points: Number of points from one end to the other, at least 2.
        batch_norm: "interpolate", "keep" or "recompute".
        train_data: Training data, as `data`, for recomputing the statistics.
        loss: Keras loss, or its name; by default the one that `model_a` was compiled with.
        batch_size: Size of the batches of arrays.

    Returns:
        Errors and losses at every point.

    Raises:
        TypeError: The data or a network has an unsupported type.
        ValueError: The paths or shapes of the networks differ; the curve has other ends; an
            argument is out of range; the outputs have fewer than two classes; there is no data.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_tickets as kt

    model = kt.models.lenet_300_100((8,), classes=3)
    x, y = np.random.normal(size=(32, 8)), np.zeros(32, int)
    line = kt.analysis.connectivity(model, model, (x, y), points=5)
    assert line.error_barriers == {"data": 0.0}
    ```

    References:
        - [Frankle et al., 2020, "Linear mode connectivity and the lottery ticket hypothesis",
          section 2](https://arxiv.org/abs/1912.05671)
        - [Garipov et al., 2018, "Loss surfaces, mode connectivity, and fast ensembling of DNNs",
          section 3](https://arxiv.org/abs/1802.10026), for curves
    """
    check_model(model_a)
    check_integer("points", points, low=2)
    check_integer("batch_size", batch_size, low=1)
    check_one_of("batch_norm", batch_norm, BATCH_NORM)
    if batch_norm == "recompute" and train_data is None:
        raise ValueError('`batch_norm="recompute"` needs `train_data`. Received: None')
    named = data if isinstance(data, Mapping) else {"data": data}
    line = line_between(model_a, model_b)
    if curve is not None:
        _check_ends(curve, line)
    along = _Points(model_a, line if curve is None else curve, keep=batch_norm != "interpolate")
    evaluate = Evaluation(model_a, along.variables, loss)
    recompute = None
    if batch_norm == "recompute":
        recompute = RecomputedStatistics(model_a, along.variables)
    alphas = np.linspace(0.0, 1.0, points)
    results: dict[str, list[tuple[float, float]]] = {name: [] for name in named}
    for alpha in alphas:
        values = along.at(alpha)
        if recompute is not None and train_data is not None:
            values = recompute(values, batches(train_data, batch_size))
        for name, each in named.items():
            results[name].append(evaluate(values, batches(each, batch_size), name))
    errors = {name: np.array([error for error, _ in found]) for name, found in results.items()}
    losses = {name: np.array([value for _, value in found]) for name, found in results.items()}
    return Connectivity(alphas, errors, losses if evaluate.knows_loss else {}, batch_norm)


class _Points:
    """The points of a curve, as values for the first network's variables.

    Attributes:
        variables: Weights, then masks.
    """

    def __init__(self, model, curve, keep):
        weights, records = weight_paths(model), whole_kernels(model, "A line between networks")
        self._curve, self._paths = curve, list(weights)
        self._kept = {p: curve.points[0][p] for p in statistics_paths(model)} if keep else {}
        self.variables = [*weights.values(), *(record.mask for record in records.values())]
        # The points are 0 off the masks themselves.
        self._masks = [tf.ones(record.shape, tf.bool) for record in records.values()]

    def at(self, alpha):
        """The values of `variables`."""
        values = self._curve.at(alpha) | self._kept
        return [*(tf.constant(values[path]) for path in self._paths), *self._masks]


def _check_ends(curve, line):
    if not isinstance(curve, BezierCurve):
        raise TypeError(f"`curve` must be a BezierCurve. Received: {curve!r}")
    for which, found, end in (
        ("first", curve.points[0], line.points[0]),
        ("second", curve.points[-1], line.points[-1]),
    ):
        for path, value in end.items():
            if path not in found or not np.array_equal(found[path], value):
                raise ValueError(
                    f"`curve` must be one between these two networks: weight {path!r} of the "
                    f"{which} network is another at the end of the curve."
                )
