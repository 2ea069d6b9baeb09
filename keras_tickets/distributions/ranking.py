"""`Global`: one ranking of all weights."""

import math

import keras
import numpy as np

from keras_tickets.distributions.distribution import (
    Allocation,
    Distribution,
    check_sparsity,
    nonzeros,
)


@keras.saving.register_keras_serializable("keras_tickets")
class Global(Distribution):
    """One ranking of all weights: those with the highest scores stay, wherever they are.

    The total is exact: `nonzeros` of all weights together. Ties go to the kernel that comes first,
    then to the lowest flat index. `kt.sparsify` passes the scores by which it draws the first
    masks: random ones, or magnitudes.

    Raises:
        ValueError: From `allocate`, where `scores` are missing or not of the kernels' shapes.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4), keras.layers.Dense(2)])
    sparse = kt.sparsify(model, 0.5, distribution="global", mask="magnitude")
    ```
    """

    needs_scores = True

    def allocate(self, kernels, sparsity, scores=None):
        sparsity = check_sparsity(sparsity)
        if not kernels:
            return Allocation({})
        ranked = np.concatenate([self._scores(kernel, scores) for kernel in kernels])
        sizes = [kernel.size for kernel in kernels]
        kept = np.zeros(ranked.size, dtype=bool)
        kept[np.argsort(-ranked, kind="stable")[: nonzeros(ranked.size, sparsity)]] = True
        parts = np.split(kept, np.cumsum(sizes)[:-1])
        chosen = {}
        for kernel, part in zip(kernels, parts, strict=True):
            if not part.any():
                raise ValueError(
                    f"sparsity={sparsity} with {self!r} leaves no weight in kernel "
                    f"{kernel.path!r} of shape {kernel.shape}. Lower the sparsity, leave that "
                    'kernel out with `filters`, or use distribution="erk".'
                )
            chosen[kernel.path] = sparsity_of(kernel.size, np.count_nonzero(part))
        return Allocation(chosen)

    def _scores(self, kernel, scores):
        if scores is None or kernel.path not in scores:
            raise ValueError(
                'distribution="global" ranks all weights by their scores, and there are none for '
                f"{kernel.path!r}. Pass `scores={{kernel path: array}}`."
            )
        score = np.asarray(scores[kernel.path])
        if score.shape != kernel.shape:
            raise ValueError(
                f"`scores[{kernel.path!r}]` has shape {score.shape}; the kernel has {kernel.shape}."
            )
        if np.isnan(score).any():
            raise ValueError(f"`scores[{kernel.path!r}]` has NaN.")
        return score.reshape(-1)


def sparsity_of(size: int, kept: int) -> float:
    """A sparsity for which `nonzeros` is exactly `kept`, also where rounding is against it."""
    sparsity = (size - kept) / size
    return sparsity if nonzeros(size, sparsity) == kept else math.nextafter(sparsity, 1.0)
