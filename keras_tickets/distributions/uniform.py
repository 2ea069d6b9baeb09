"""`Uniform`: the same sparsity everywhere."""

from collections.abc import Mapping, Sequence

import keras
import numpy as np

from keras_tickets._checks import check_sparsity
from keras_tickets._kernels.find import Kernel
from keras_tickets.distributions.distribution import Allocation, Distribution


@keras.saving.register_keras_serializable("keras_tickets")
class Uniform(Distribution):
    """The same sparsity for every kernel.

    Args:
        dense_first_conv: Whether convolutions that read the model's input stay dense and do not
            count, as in the RigL paper. A `Dense` layer is never left out.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, name="fc")])
    print(kt.plan(model, 0.5, distribution=kt.distributions.Uniform(dense_first_conv=False)))
    ```

    References:
        Evci et al., Rigging the Lottery (arXiv 1911.11134), section 3, "Sparsity Distribution".
    """

    def __init__(self, dense_first_conv: bool = True):
        self.dense_first_conv = dense_first_conv

    def allocate(
        self,
        kernels: Sequence[Kernel],
        sparsity: float,
        scores: Mapping[str, np.ndarray] | None = None,
    ) -> Allocation:
        sparsity = check_sparsity(sparsity)
        left_dense = {}
        if self.dense_first_conv:
            reason = "first convolution: dense in a uniform distribution"
            left_dense = {kernel.path: reason for kernel in kernels if kernel.first_conv}
        chosen = {k.path: sparsity for k in kernels if k.path not in left_dense}
        return Allocation(chosen, left_dense)
