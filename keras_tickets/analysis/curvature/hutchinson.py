"""Hutchinson's estimate of the trace of an operator, from its products with vectors."""

import dataclasses
import math

import numpy as np

from keras_tickets._checks import check_integer, check_seed
from keras_tickets.analysis.curvature.lanczos import Product


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A mean over random draws.

    Attributes:
        value: The mean.
        error: Its standard error: about two thirds of such means are within this distance of the
            true value.

    Example:

    ```python
    import keras_tickets as kt

    trace = kt.analysis.Estimate(value=12.0, error=0.5)
    print(f"{trace.value} ± {trace.error}")
    ```
    """

    value: float
    error: float


def hutchinson(product: Product, size: int, probes: int, *, seed: int = 0) -> Estimate:
    """Estimates the trace of a symmetric operator, the sum of its eigenvalues.

    The estimate is the mean of z · Az over random vectors z of 1 and -1. It is exact for a diagonal
    operator.

    Args:
        product: As in `lanczos`.
        size: Dimension of the space.
        probes: Number of products, at least 2.
        seed: Non-negative integer.

    Returns:
        The trace and its standard error, which falls with the root of `probes`.

    Raises:
        ValueError: An argument is out of range.

    Example:

    ```python
    import numpy as np
    import keras_tickets as kt

    trace = kt.analysis.hutchinson(lambda vector: np.arange(5) * vector, size=5, probes=2)
    assert (trace.value, trace.error) == (10.0, 0.0)
    ```

    References:
        - [Hutchinson, 1989, "A stochastic estimator of the trace of the influence matrix for
          Laplacian smoothing splines"](https://doi.org/10.1080/03610918908812806)
    """
    check_integer("size", size, low=1)
    check_integer("probes", probes, low=2)
    random = np.random.default_rng(check_seed(seed))
    found = []
    for _ in range(probes):
        signs = random.choice([-1.0, 1.0], size=size)
        found.append(float(signs @ np.asarray(product(signs), np.float64)))
    return Estimate(float(np.mean(found)), float(np.std(found, ddof=1)) / math.sqrt(probes))
