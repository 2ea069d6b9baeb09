"""`Unstructured`: single weights."""

import keras
import tensorflow as tf

from keras_tickets._kernels.find import Kernel
from keras_tickets.structures.structure import Layout, Structure


@keras.saving.register_keras_serializable("keras_tickets")
class Unstructured(Structure):
    """Single weights, anywhere in a kernel.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    dense = keras.Sequential([keras.Input((16,)), keras.layers.Dense(4)])
    model = kt.sparsify(dense, 0.5, structure=kt.structures.Unstructured())
    assert kt.summary(model).nonzeros == 32
    ```
    """

    def layout(self, kernel: Kernel) -> Layout:
        return _Weights(kernel)


class _Weights(Layout):
    def __init__(self, kernel):
        super().__init__(groups=1, units=kernel.size, unit_size=1)
        self.shape = kernel.shape

    def pool(self, values):
        return tf.reshape(values, (1, self.units))

    def spread(self, units):
        return tf.reshape(units, self.shape)
