"""Whether the weights of a model are trained: what distinguishes them from freshly drawn ones."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_tickets import _keras_compat
from keras_tickets._kernels.find import Kernel

_INITIALIZERS = {
    "alpha": "alpha_initializer",
    "beta": "beta_initializer",
    "bias": "bias_initializer",
    "depthwise_kernel": "depthwise_initializer",
    "embeddings": "embeddings_initializer",
    "gamma": "gamma_initializer",
    "kernel": "kernel_initializer",
    "moving_mean": "moving_mean_initializer",
    "moving_variance": "moving_variance_initializer",
    "pointwise_kernel": "pointwise_initializer",
    "recurrent_kernel": "recurrent_initializer",
}
_CONSTANT = (
    keras.initializers.Constant,
    keras.initializers.Identity,
    keras.initializers.Ones,
    keras.initializers.Zeros,
)
# Standard deviation of a standard normal that is cut off at two standard deviations.
_TRUNCATED_DEVIATION = 0.87962566103423978
# Fewer weights than this show no standard deviation. Others deviate by chance, but not by so many
# standard errors; the share is what is not called trained in any case.
_FEWEST, _STANDARD_ERRORS, _SHARE = 100, 8, 0.02


class _Distribution(NamedTuple):
    """What an initializer draws from; `farthest` is the largest distance from the mean."""

    mean: float
    deviation: float
    farthest: float = math.inf


def looks_trained(model: keras.Model, kernels: Sequence[Kernel]) -> bool:
    """Whether a model has been trained, or has weights of one that was.

    It looks trained if its optimizer has stepped; if a bias, scale or moving statistic that starts
    at known values has left them; or if a kernel cannot have been drawn by its own initializer.
    What frozen layers hold is not considered, nor what an unknown initializer has drawn.

    Args:
        model: Built Keras model.
        kernels: Those of its kernels that are to be masked; only they are judged by their values.
    """
    return (
        _has_stepped(model)
        or any(map(_left_known_values, _keras_compat.all_layers(model)))
        or any(map(_not_drawn_by_initializer, kernels))
    )


def _has_stepped(model):
    optimizer = model.optimizer if model.compiled else None
    return optimizer is not None and int(optimizer.iterations.numpy()) > 0


def _left_known_values(layer):
    return layer.trainable and any(
        isinstance(initializer, _CONSTANT)
        and not np.array_equal(variable, initializer(variable.shape, variable.dtype))
        for variable, initializer in _initialized(layer)
    )


def _initialized(layer) -> Iterator[tuple[keras.Variable, Any]]:
    """The variables of one layer, each with its initializer, as far as known."""
    if isinstance(layer, keras.layers.RMSNormalization) and layer.built:
        yield layer.scale, keras.initializers.Ones()
    if not layer.built:
        return
    for name, initializer in _INITIALIZERS.items():
        variable = getattr(layer, name, None)
        known = not (name == "bias" and getattr(layer, "unit_forget_bias", False))
        if known and isinstance(variable, keras.Variable):
            yield variable, getattr(layer, initializer, None)


def _not_drawn_by_initializer(kernel):
    for variable, initializer in _initialized(kernel.layer):
        if variable is kernel.variable:
            values = np.asarray(variable).astype("float32", copy=False)
            possible = _distributions(kernel, initializer)
            return bool(possible) and not any(_fits(values, each) for each in possible)
    return False


def _distributions(kernel, initializer) -> list[_Distribution]:
    """What the kernel may have been drawn from; nothing if that is not known."""
    draw = type(initializer).__call__
    if draw is keras.initializers.VarianceScaling.__call__:
        return [_scaled(initializer, *fans) for fans in _fans(kernel, initializer)]
    if draw is keras.initializers.RandomUniform.__call__:
        middle = (initializer.minval + initializer.maxval) / 2
        farthest = (initializer.maxval - initializer.minval) / 2
        return [_Distribution(middle, farthest / math.sqrt(3), farthest)]
    if draw is keras.initializers.RandomNormal.__call__:
        return [_Distribution(initializer.mean, initializer.stddev)]
    if draw is keras.initializers.TruncatedNormal.__call__:
        deviation = initializer.stddev
        return [_Distribution(initializer.mean, deviation * _TRUNCATED_DEVIATION, 2 * deviation)]
    if draw is keras.initializers.Orthogonal.__call__:
        longer = max(kernel.size // kernel.shape[-1], kernel.shape[-1])
        return [_Distribution(0.0, initializer.gain / math.sqrt(longer), initializer.gain)]
    return []


def _scaled(initializer, fan_in, fan_out):
    fans = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}
    deviation = math.sqrt(initializer.scale / max(1.0, fans[initializer.mode]))
    farthest = {
        "uniform": math.sqrt(3) * deviation,
        "truncated_normal": 2 * deviation / _TRUNCATED_DEVIATION,
    }
    return _Distribution(0.0, deviation, farthest.get(initializer.distribution, math.inf))


def _fans(kernel, initializer) -> list[tuple[int, int]]:
    """Fan-in and fan-out as Keras counts them; those of an einsum depend on its version."""
    shape = kernel.shape
    inputs, outputs = (getattr(initializer, f"{kind}_axes", None) for kind in ("input", "output"))
    if inputs is not None and outputs is not None:
        return [(math.prod(shape[i] for i in inputs), math.prod(shape[i] for i in outputs))]
    spatial = math.prod(shape[:-2])
    found = [(spatial * shape[-2], spatial * shape[-1])]
    if isinstance(kernel.layer, keras.layers.EinsumDense):
        found.append((kernel.inputs, kernel.size // kernel.inputs))
    return found


def _fits(values, expected: _Distribution) -> bool:
    """Whether the weights that are not 0, as pruned ones are, can come from a distribution."""
    values = values[values != 0] - expected.mean
    if not values.size:
        return True
    if np.abs(values).max() > expected.farthest * (1 + _SHARE):
        return False
    chance = _STANDARD_ERRORS / math.sqrt(values.size)
    mean, variance = (
        values.mean() / expected.deviation,
        np.square(values / expected.deviation).mean(),
    )
    return values.size < _FEWEST or (
        abs(mean) <= chance + _SHARE and abs(variance - 1) <= math.sqrt(2) * chance + _SHARE
    )
