"""Convolutions followed by batch normalization, for VGG, residual networks and MobileNets."""

import dataclasses

import keras
from keras import layers

from keras_tickets.layers.fused_batch_normalization import FusedBatchNormalization
from keras_tickets.models.initialization import seeded


@dataclasses.dataclass(frozen=True)
class Convolution:
    """Adds a convolution without bias and the batch normalization that follows it.

    Batch normalization uses momentum 0.9.

    Attributes:
        fused_batch_norm: Whether to use `kt.layers.FusedBatchNormalization`. False:
            `keras.layers.BatchNormalization`.
        kernel_initializer: Keras initializer of the kernels.
        gamma_initializer: Keras initializer of the scales of batch normalization.
        seed: Makes the initial weights a function of this integer and the layer's name. None:
            Keras's global seed.
        padding: Where strided convolutions have their zeros. "same": below and to the right, as in
            Keras. "symmetric": on all four sides, as sparse kernels on ARM require.

    Example:

    ```python
    import keras
    from keras_tickets.models.convolution import Convolution

    convolution = Convolution(True, "he_normal", "ones", seed=0)
    x = convolution(keras.Input((8, 8, 3)), 16, "conv1", strides=2)
    assert x.shape == (None, 4, 4, 16)
    ```
    """

    fused_batch_norm: bool
    kernel_initializer: str | dict | keras.initializers.Initializer
    gamma_initializer: str | dict | keras.initializers.Initializer
    seed: int | None
    padding: str = "same"

    def __call__(
        self, x: keras.KerasTensor, filters: int, name: str, size: int = 3, strides: int = 1
    ) -> keras.KerasTensor:
        """Adds the two layers, called `name` and `name` followed by "_norm", after `x`."""
        return self.normalized(self.alone(x, filters, name, size, strides), f"{name}_norm")

    def alone(
        self, x: keras.KerasTensor, filters: int, name: str, size: int = 3, strides: int = 1
    ) -> keras.KerasTensor:
        """Adds a convolution, called `name`, without batch normalization after `x`."""
        x, padding = self._padded(x, name, size, strides)
        return layers.Conv2D(
            filters,
            size,
            strides,
            padding=padding,
            use_bias=False,
            kernel_initializer=seeded(self.kernel_initializer, self.seed, name),
            name=name,
        )(x)

    def depthwise(self, x: keras.KerasTensor, name: str, strides: int = 1) -> keras.KerasTensor:
        """Adds a 3x3 depthwise convolution, called `name`, and batch normalization after `x`."""
        x, padding = self._padded(x, name, 3, strides)
        x = layers.DepthwiseConv2D(
            3,
            strides,
            padding=padding,
            use_bias=False,
            depthwise_initializer=seeded(self.kernel_initializer, self.seed, name),
            name=name,
        )(x)
        return self.normalized(x, f"{name}_norm")

    def normalized(self, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        """Adds batch normalization, called `name`, after `x`."""
        normalization = (
            FusedBatchNormalization if self.fused_batch_norm else layers.BatchNormalization
        )
        return normalization(
            momentum=0.9,
            epsilon=1.001e-5,
            gamma_initializer=seeded(self.gamma_initializer, self.seed, name),
            name=name,
        )(x)

    def logits(self, x: keras.KerasTensor, classes: int) -> keras.KerasTensor:
        """Adds global average pooling and the output layer, called "logits"."""
        x = layers.GlobalAveragePooling2D(name="pool")(x)
        initializer = seeded(self.kernel_initializer, self.seed, "logits")
        return layers.Dense(classes, kernel_initializer=initializer, name="logits")(x)

    def _padded(self, x, name, size, strides):
        """What a convolution reads, and the padding that it adds itself."""
        if strides == 1 or self.padding == "same":
            return x, "same"
        return layers.ZeroPadding2D(size // 2, name=f"{name}_pad")(x), "valid"
