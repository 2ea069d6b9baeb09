"""Which activations act on each value alone, and their effect on constants."""

from collections.abc import Callable

import keras
import numpy as np

ELEMENTWISE = frozenset(
    getattr(keras.activations, name)
    for name in (
        "celu elu exponential gelu hard_shrink hard_sigmoid hard_silu hard_tanh leaky_relu linear "
        "log_sigmoid mish relu relu6 selu sigmoid silu soft_shrink softplus softsign sparse_plus "
        "sparse_sigmoid squareplus tanh tanh_shrink threshold"
    ).split()
)


def is_elementwise(activation: Callable) -> bool:
    """Whether this is a Keras activation that acts on each value alone."""
    return activation in ELEMENTWISE


def map_constants(function: Callable, constant: np.ndarray) -> np.ndarray:
    """Applies an elementwise function of tensors to the constants; NaN stays NaN.

    Non-finite values become NaN, which marks a live channel: they cannot be folded.
    """
    live = np.isnan(constant)
    values = keras.ops.convert_to_tensor(np.where(live, 0.0, constant)[None], "float64")
    results = keras.ops.convert_to_numpy(function(values))[0].astype("float64")
    return np.where(live | ~np.isfinite(results), np.nan, results)
