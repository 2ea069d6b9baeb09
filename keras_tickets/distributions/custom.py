"""`Custom`: a sparsity for each kernel."""

from collections.abc import Mapping, Sequence

import keras
import numpy as np

from keras_tickets._checks import check_sparsity, compile_regex
from keras_tickets._kernels.find import Kernel
from keras_tickets.distributions.distribution import Allocation, Distribution


@keras.saving.register_keras_serializable("keras_tickets")
class Custom(Distribution):
    """A sparsity for each kernel, from the first regex that matches its path.

    Kernels that match none stay dense and do not count. The overall sparsity follows from the map;
    the `sparsity` argument of `allocate` is ignored.

    Args:
        sparsities: `{path regex: share of zeros in [0, 1)}`.

    Raises:
        TypeError: `sparsities` is not a dict of strings, or a share is not a number.
        ValueError: A regex is invalid or, in `allocate`, matches no kernel; a share is out of
            range.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, name="fc")])
    print(kt.plan(model, {"fc": 0.75}))
    ```
    """

    def __init__(self, sparsities: Mapping[str, float]):
        if not isinstance(sparsities, Mapping) or not all(isinstance(p, str) for p in sparsities):
            raise TypeError(
                f"`sparsities` must be a dict from path regexes to sparsities. "
                f"Received: sparsities={sparsities!r}"
            )
        for pattern, value in sparsities.items():
            compile_regex("sparsity", pattern)
            check_sparsity(value, f"sparsity[{pattern!r}]")
        self.sparsities = dict(sparsities)

    def allocate(
        self,
        kernels: Sequence[Kernel],
        sparsity: float = 0.0,
        scores: Mapping[str, np.ndarray] | None = None,
    ) -> Allocation:
        regexes = {compile_regex("sparsity", p): float(s) for p, s in self.sparsities.items()}
        for regex in regexes:
            # The empty regex means all kernels; a model without any is no error.
            if regex.pattern and not any(regex.search(kernel.path) for kernel in kernels):
                raise ValueError(
                    f"`sparsity`: regex {regex.pattern!r} matches no kernel. "
                    f"Kernels: {[kernel.path for kernel in kernels]}"
                )
        chosen, left_dense = {}, {}
        for kernel in kernels:
            matching = [value for regex, value in regexes.items() if regex.search(kernel.path)]
            if matching:
                chosen[kernel.path] = matching[0]
            else:
                left_dense[kernel.path] = "matches no regex of `sparsity`"
        return Allocation(chosen, left_dense)
