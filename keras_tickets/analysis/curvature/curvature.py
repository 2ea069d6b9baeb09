"""Curvature of the loss: extreme eigenvalues, spectral density and trace of the Hessian."""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np

from keras_tickets._checks import check_integer, check_seed
from keras_tickets.analysis.batches import Data
from keras_tickets.analysis.curvature.hessian import Hessian
from keras_tickets.analysis.curvature.hutchinson import Estimate, hutchinson
from keras_tickets.analysis.curvature.lanczos import Lanczos, lanczos


@dataclasses.dataclass(frozen=True, eq=False)
class Curvature:
    """The curvature of a model's loss at its weights.

    Attributes:
        size: Number of live weights, which is the number of eigenvalues.
        runs: Runs of Lanczos from different random directions.
        trace: The sum of all eigenvalues, with its standard error.

    Example:

    ```python
    import numpy as np
    import keras_tickets as kt

    run = kt.analysis.Lanczos(np.array([4.0, 0.0]), np.zeros(2), np.array([0.1, 0.9]))
    curvature = kt.analysis.Curvature(10, [run], kt.analysis.Estimate(4.0, 0.2))
    assert curvature.largest(1) == [(4.0, 0.0)]
    ```
    """

    size: int
    runs: list[Lanczos]
    trace: Estimate

    def largest(self, count: int = 1) -> list[tuple[float, float]]:
        """The largest eigenvalues of the first run, as (value, error), the largest first.

        Args:
            count: How many.
        """
        return self._ends(count)[:count]

    def smallest(self, count: int = 1) -> list[tuple[float, float]]:
        """The smallest eigenvalues of the first run, as (value, error), the smallest first.

        Negative ones are directions in which the loss curves down.

        Args:
            count: How many.
        """
        return self._ends(count)[::-1][:count]

    def density(self, points: np.ndarray, width: float) -> np.ndarray:
        """The density of eigenvalues, the mean over the runs.

        Args:
            points: As in `Lanczos.density`.
            width: As in `Lanczos.density`.

        Returns:
            float64 array of the shape of `points`.
        """
        return np.mean([run.density(points, width) for run in self.runs], axis=0)

    def _ends(self, count):
        run = self.runs[0]
        check_integer("count", count, low=1, high=len(run.values))
        return list(zip(run.values.tolist(), run.errors.tolist(), strict=True))


def curvature(
    model: keras.Model,
    data: Data,
    loss: Callable | str | None = None,
    *,
    steps: int = 40,
    draws: int = 1,
    probes: int = 20,
    batch_size: int = 256,
    seed: int = 0,
) -> Curvature:
    """Measures the Hessian of the loss by its live weights: extreme eigenvalues, density, trace.

    It takes `draws * steps + probes` products with the Hessian, each about as much work as three
    gradients over the data. See `kt.analysis.Hessian` for what is differentiated: the mean loss of
    the data in inference mode, by all trainable weights on their masks.

    Args:
        model: Built Keras model, sparse or not, with one output. It is left unchanged.
        data: `(x, y)` as arrays, or an iterable of batches `(x, y)` that yields the same ones each
            time.
        loss: Keras loss, or its name; by default the one that the model was compiled with.
        steps: Steps of each run of Lanczos. A few extreme eigenvalues converge in 20 to 60; their
            errors say how far.
        draws: Runs of Lanczos. One shows the density of a large network; more smooth it.
        probes: Products for the trace, at least 2.
        batch_size: Size of the batches of arrays.
        seed: Non-negative integer, for the random directions.

    Returns:
        Eigenvalues with errors, density, and trace with its error.

    Raises:
        TypeError: `model` is not a Keras 3 model; the data has an unsupported type.
        ValueError: An argument is out of range, or as in `kt.analysis.Hessian`.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_tickets as kt

    model = kt.sparsify(kt.models.lenet_300_100((8,), classes=3, width=0.1), 0.8)
    x, y = np.random.default_rng(0).normal(size=(64, 8)), np.arange(64) % 3
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    found = kt.analysis.curvature(model, (x, y), loss, steps=10, probes=5)
    (top, error), *_ = found.largest(3)
    print(f"{top:.3f} within {error:.1e}; trace {found.trace.value:.2f} ± {found.trace.error:.2f}")
    ```

    References:
        - [Ghorbani et al., 2019, "An investigation into neural net optimization via Hessian
          eigenvalue density"](https://arxiv.org/abs/1901.10159)
        - [Yao et al., 2020, "PyHessian: neural networks through the lens of the Hessian"
          ](https://arxiv.org/abs/1912.07145)
    """
    check_integer("draws", draws, low=1)
    check_seed(seed)
    hessian = Hessian(model, data, loss, batch_size=batch_size)
    runs = [lanczos(hessian, hessian.size, steps, seed=seed + draw) for draw in range(draws)]
    trace = hutchinson(hessian, hessian.size, probes, seed=seed)
    return Curvature(hessian.size, runs, trace)
