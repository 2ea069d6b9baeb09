"""Statistics of batch normalization, recomputed for other weights."""

from collections.abc import Iterable, Sequence

import keras
import tensorflow as tf

from keras_tickets import _keras_compat
from keras_tickets._kernels.paths import weight_paths
from keras_tickets.analysis.batches import map_tensors


def statistics_paths(model: keras.Model) -> set[str]:
    """Weight paths of the moving means and variances of batch normalization layers."""
    moving = {id(v) for layer in _layers(model) for v in _statistics(layer)}
    return {path for path, variable in weight_paths(model).items() if id(variable) in moving}


class RecomputedStatistics:
    """Recomputes the statistics of batch normalization for other weights of a model.

    Each statistic is the mean over batches of the batch's mean or variance, with the model in
    training mode. Where a layer is called several times, it is the moving average over its calls.
    Frozen layers keep theirs. The model is not changed.

    Args:
        model: Built Keras model.
        variables: The variables whose values are given, including moving means and variances.

    Raises:
        ValueError: A layer's moving average cannot be inverted to find the statistics of a batch.
    """

    def __init__(self, model: keras.Model, variables: Sequence[keras.Variable]):
        layers = [layer for layer in _layers(model) if layer.trainable]
        for layer in layers:
            if getattr(layer, "renorm", False) or layer.momentum >= 1:
                raise ValueError(
                    f"The statistics of layer {layer.name!r} cannot be recomputed, with renorm or "
                    'a momentum of 1; use `batch_norm="interpolate"` or "keep".'
                )
        moving = [(layer, id(variable)) for layer in layers for variable in _statistics(layer)]
        positions = {id(variable): i for i, variable in enumerate(variables)}
        self._positions = [positions[key] for _, key in moving]
        self._scales: list[float] = []

        @tf.function(reduce_retracing=True, autograph=False)
        def averages(values, x):
            mapping = list(zip(variables, values, strict=True))
            with _keras_compat.masked_scope(mapping, model) as scope:
                model(x, training=True)
            idle = [layer.name for layer, key in moving if not scope.times[key]]
            if idle:
                raise ValueError(
                    f"The statistics of layer {idle[0]!r} cannot be recomputed, as the model does "
                    "not call it in training mode; freeze it, by `trainable = False`, or use "
                    '`batch_norm="interpolate"` or "keep".'
                )
            # What an average that starts at 0 is of the statistics after these calls.
            self._scales = [1 - layer.momentum ** scope.times[key] for layer, key in moving]
            assigned = {id(variable): value for variable, value in scope.assigned}
            return [tf.cast(assigned[key], tf.float64) for _, key in moving]

        self._averages = averages

    def __call__(self, values: Sequence[tf.Tensor], batches: Iterable[tuple]) -> list[tf.Tensor]:
        """Replaces the statistics among the values.

        Args:
            values: The value of each variable.
            batches: `(x, y)`, of training data.

        Returns:
            `values`, with the statistics that belong to them.

        Raises:
            ValueError: There are no batches; or a layer does not learn its statistics.
        """
        values = list(values)
        for position in self._positions:
            values[position] = tf.zeros_like(values[position])
        sums, count = [0.0] * len(self._positions), 0
        for x, _ in batches:
            found = self._averages(values, map_tensors(x))
            sums = [total + value for total, value in zip(sums, found, strict=True)]
            count += 1
        if not count:
            raise ValueError("`train_data` has no batches.")
        for position, total, scale in zip(self._positions, sums, self._scales, strict=True):
            values[position] = tf.cast(total / (count * scale), values[position].dtype)
        return values


def _layers(model):
    found = _keras_compat.all_layers(model)
    return [layer for layer in found if isinstance(layer, keras.layers.BatchNormalization)]


def _statistics(layer):
    return layer.moving_mean, layer.moving_variance
