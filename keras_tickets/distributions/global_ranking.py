"""`Global`: one ranking of all weights."""

from collections.abc import Mapping, Sequence

import keras
import numpy as np

from keras_tickets._checks import check_sparsity
from keras_tickets._kernels.find import Kernel
from keras_tickets._selection.counts import nonzeros, sparsity_of
from keras_tickets._selection.ranking import check_scores, highest
from keras_tickets.distributions.distribution import Allocation, Distribution


@keras.saving.register_keras_serializable("keras_tickets")
class Global(Distribution):
    """One ranking of all weights: those with the highest scores stay, whatever their kernel.

    The total is exact: `kt.distributions.nonzeros` of the number of all weights. Ties go to the
    kernel that comes first, then to the lowest flat index. `kt.sparsify` passes the scores by which
    it draws the first masks: random numbers, or magnitudes.

    Raises:
        ValueError: In `allocate`, if `scores` are missing or not of the kernels' shapes, or if a
            kernel would be left without weights.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4), keras.layers.Dense(2)])
    sparse = kt.sparsify(model, 0.5, distribution="global", mask="magnitude")
    ```
    """

    needs_scores = True

    def allocate(
        self,
        kernels: Sequence[Kernel],
        sparsity: float,
        scores: Mapping[str, np.ndarray] | None = None,
    ) -> Allocation:
        sparsity = check_sparsity(sparsity)
        if not kernels:
            return Allocation({})
        ranked = [self._scores(kernel, scores) for kernel in kernels]
        parts = highest(ranked, nonzeros(sum(kernel.size for kernel in kernels), sparsity))
        chosen = {}
        for kernel, part in zip(kernels, parts, strict=True):
            if not part.any():
                raise ValueError(
                    f"sparsity={sparsity} with {self!r} leaves no weight in kernel "
                    f"{kernel.path!r} of shape {kernel.shape}. Lower the sparsity, leave that "
                    'kernel out with `filters`, or use distribution="erk".'
                )
            chosen[kernel.path] = sparsity_of(kernel.size, int(np.count_nonzero(part)))
        return Allocation(chosen)

    def _scores(self, kernel, scores):
        if scores is None or kernel.path not in scores:
            raise ValueError(
                'distribution="global" ranks all weights by their scores, and there are none for '
                f"{kernel.path!r}. Pass `scores={{kernel path: array}}`."
            )
        return check_scores(kernel.path, kernel.shape, scores[kernel.path])
