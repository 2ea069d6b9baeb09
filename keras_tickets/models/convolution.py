"""Convolutions followed by batch normalization, as VGG and residual networks use them."""

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

    def __call__(
        self, x: keras.KerasTensor, filters: int, name: str, size: int = 3, strides: int = 1
    ) -> keras.KerasTensor:
        """Adds the two layers, called `name` and `name` followed by "_norm", after `x`."""
        x = layers.Conv2D(
            filters,
            size,
            strides,
            padding="same",
            use_bias=False,
            kernel_initializer=seeded(self.kernel_initializer, self.seed, name),
            name=name,
        )(x)
        normalization = (
            FusedBatchNormalization if self.fused_batch_norm else layers.BatchNormalization
        )
        return normalization(
            momentum=0.9,
            epsilon=1.001e-5,
            gamma_initializer=seeded(self.gamma_initializer, self.seed, f"{name}_norm"),
            name=f"{name}_norm",
        )(x)

    def logits(self, x: keras.KerasTensor, classes: int) -> keras.KerasTensor:
        """Adds global average pooling and the output layer, called "logits"."""
        x = layers.GlobalAveragePooling2D(name="pool")(x)
        initializer = seeded(self.kernel_initializer, self.seed, "logits")
        return layers.Dense(classes, kernel_initializer=initializer, name="logits")(x)
