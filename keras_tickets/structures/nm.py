"""`NM`: n of every m weights."""

import math

import keras
import tensorflow as tf

from keras_tickets.structures.structure import Layout, Matrix, Structure


@keras.saving.register_keras_serializable("keras_tickets")
class NM(Structure):
    """In every m consecutive weights along the input axis, n stay.

    In a convolution a group is of m input channels at one spatial position and output. The
    sparsity is 1 - n / m for every kernel, whatever the distribution.

    Args:
        n: Weights that stay, at least 1.
        m: Size of a group, above n. It must divide the number of inputs of every masked kernel.

    Raises:
        ValueError: The numbers do not go together, or do not fit a kernel.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    dense = keras.Sequential([keras.Input((16,)), keras.layers.Dense(4)])
    model = kt.sparsify(dense, 0.5, structure=kt.structures.NM(2, 4))
    assert kt.summary(model).nonzeros == 32
    ```

    References:
        - [Zhou et al., 2021, "Learning N:M fine-grained structured sparse neural networks from
          scratch"](https://arxiv.org/abs/2102.04010)
    """

    def __init__(self, n: int, m: int):
        if not all(isinstance(v, int) and not isinstance(v, bool) for v in (n, m)) or not 0 < n < m:
            raise ValueError(f"`n` and `m` must be integers with 0 < n < m. Received: n={n}, m={m}")
        self.n = n
        self.m = m

    @property
    def sparsity(self) -> float:
        return 1 - self.n / self.m

    def layout(self, kernel):
        inputs = math.prod(kernel.shape[axis] for axis in kernel.input_axes)
        if inputs % self.m:
            raise ValueError(
                f"{self!r} does not fit kernel {kernel.path!r}: m={self.m} does not divide its "
                f"{inputs} inputs. Leave that kernel out with `filters`."
            )
        return _Groups(kernel, self.m)


class _Groups(Layout):
    def __init__(self, kernel, m):
        super().__init__(groups=kernel.size // m, units=m, unit_size=1)
        self.matrix = Matrix(kernel)

    def left(self, sparsity):
        return self.units - math.floor(sparsity * self.units + 1e-6)

    def pool(self, values):
        return tf.reshape(self.matrix.of(values), (self.groups, self.units))

    def spread(self, units):
        return self.matrix.to_kernel(units)
