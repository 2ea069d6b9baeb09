"""`NM`: n of every m weights."""

import keras
import tensorflow as tf

from keras_tickets._kernels.find import Kernel
from keras_tickets._selection.counts import sparsity_of
from keras_tickets.structures.structure import Layout, Matrix, Structure


@keras.saving.register_keras_serializable("keras_tickets")
class NM(Structure):
    """Of every m consecutive weights along the input axis, n stay.

    In a convolution, a group is m input channels at one spatial position and one output. The
    sparsity is 1 - n / m for every kernel, whatever the distribution. With a dict of sparsities, 0
    leaves a kernel dense.

    Args:
        n: Weights that stay, at least 1.
        m: Size of a group, above n. It must divide the number of inputs of every masked kernel.

    Raises:
        ValueError: `n` and `m` are not integers with 0 < n < m, or `m` does not fit a kernel.

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
    def sparsity(self) -> float:  # type: ignore[override]
        return sparsity_of(self.m, self.n)

    def layout(self, kernel: Kernel) -> Layout:
        matrix = Matrix(kernel)
        if matrix.inputs % self.m:
            raise ValueError(
                f"{self!r} does not fit kernel {kernel.path!r}: m={self.m} does not divide its "
                f"{matrix.inputs} inputs. Leave that kernel out with `filters`."
            )
        return _Groups(matrix, self.m)


class _Groups(Layout):
    has_groups = True

    def __init__(self, matrix, m):
        super().__init__(groups=matrix.outputs * matrix.fan_in // m, units=m, unit_size=1)
        self.matrix = matrix

    def pool(self, values):
        return tf.reshape(self.matrix.of(values), (self.groups, self.units))

    def spread(self, units):
        return self.matrix.to_kernel(units)
