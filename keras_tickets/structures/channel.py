"""`Channel`: whole output channels."""

import keras
import tensorflow as tf

from keras_tickets._kernels.find import Kernel
from keras_tickets.structures.structure import Layout, Matrix, Structure, mean


@keras.saving.register_keras_serializable("keras_tickets")
class Channel(Structure):
    """Whole units of a dense layer, or channels of a convolution: all weights into one output.

    Each stays or goes as a whole, by its mean score. Leave out the kernel that computes the model's
    outputs with `filters`, or some of them become constant.

    A channel without weights has a gradient of 0 if a ReLU follows, so methods that grow by
    gradients only bring back channels that they have just dropped. SET, which grows at random,
    finds new ones.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    dense = keras.Sequential([keras.Input((16,)), keras.layers.Dense(8)])
    model = kt.sparsify(dense, 0.75, structure=kt.structures.Channel())
    assert kt.summary(model).nonzeros == 32
    ```
    """

    def layout(self, kernel: Kernel) -> Layout:
        return _Channels(kernel)


class _Channels(Layout):
    def __init__(self, kernel):
        self.matrix = Matrix(kernel)
        super().__init__(groups=1, units=self.matrix.outputs, unit_size=self.matrix.fan_in)

    def pool(self, values):
        return mean(self.matrix.of(values), 1)[None, :]

    def spread(self, units):
        rows = tf.reshape(units, (self.units, 1))
        return self.matrix.to_kernel(tf.broadcast_to(rows, (self.units, self.unit_size)))
