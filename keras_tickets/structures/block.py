"""`Block`: rectangles of weights."""

import keras
import tensorflow as tf

from keras_tickets._kernels.find import Kernel
from keras_tickets.structures.structure import Layout, Matrix, Structure, mean


@keras.saving.register_keras_serializable("keras_tickets")
class Block(Structure):
    """Rectangles of weights, each of which stays or goes as a whole, by its mean score.

    A rectangle covers a range of inputs and a range of outputs: at one spatial position of a
    convolution, in one gate of a recurrent kernel.

    Args:
        shape: (inputs, outputs) of a block. They must divide those of every masked kernel.

    Raises:
        ValueError: `shape` is not a pair of positive integers, or does not fit a kernel.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    dense = keras.Sequential([keras.Input((16,)), keras.layers.Dense(8)])
    model = kt.sparsify(dense, 0.75, structure=kt.structures.Block((4, 4)))
    assert kt.summary(model).nonzeros == 32
    ```
    """

    @classmethod
    def for_litert(cls, int8: bool = False) -> "Block":
        """The blocks with which the LiteRT interpreter computes as they are stored.

        Blocks lie along the inputs of a neuron: 4 of them, or 16 for kernels that are exported as
        int8 (`kt.export(..., format="litert", quantize="int8")`).

        Args:
            int8: Whether kernels will be int8.

        Example:

        ```python
        import keras
        import keras_tickets as kt

        dense = keras.Sequential([keras.Input((64,)), keras.layers.Dense(8)])
        model = kt.sparsify(dense, 0.75, structure=kt.structures.Block.for_litert())
        assert model.plan.rows[0].nonzeros == 128
        ```
        """
        return cls((16 if int8 else 4, 1))

    def __init__(self, shape: tuple[int, int]):
        sizes = tuple(shape) if isinstance(shape, (tuple, list)) else ()
        if len(sizes) != 2 or not all(type(size) is int and size > 0 for size in sizes):
            raise ValueError(
                f"`shape` must be a pair of positive integers. Received: shape={shape}"
            )
        self.shape = sizes

    def layout(self, kernel: Kernel) -> Layout:
        matrix = Matrix(kernel)
        sizes = (matrix.inputs, kernel.outputs)
        if any(size % block for size, block in zip(sizes, self.shape, strict=True)):
            raise ValueError(
                f"{self!r} does not fit kernel {kernel.path!r}: its {sizes[0]} inputs and "
                f"{sizes[1]} outputs must be multiples of the block's {self.shape[0]} and "
                f"{self.shape[1]}. Leave that kernel out with `filters`."
            )
        return _Blocks(matrix, *self.shape)


class _Blocks(Layout):
    def __init__(self, matrix, rows, columns):
        size = rows * columns
        units = matrix.outputs * matrix.fan_in // size
        super().__init__(groups=1, units=units, unit_size=size)
        self.matrix = matrix
        self.tiles = (matrix.outputs // columns, columns, matrix.fan_in // rows, rows)

    def pool(self, values):
        tiles = tf.reshape(self.matrix.of(values), self.tiles)
        return tf.reshape(mean(tiles, (1, 3)), (1, self.units))

    def spread(self, units):
        outputs, columns, inputs, rows = self.tiles
        tiles = tf.reshape(units, (outputs, 1, inputs, 1))
        return self.matrix.to_kernel(tf.broadcast_to(tiles, (outputs, columns, inputs, rows)))
