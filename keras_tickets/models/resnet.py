"""ResNet-20 for CIFAR-sized images."""

import keras
from keras import layers

from keras_tickets.layers.fused_batch_normalization import FusedBatchNormalization
from keras_tickets.models.initialization import seeded
from keras_tickets.models.widths import scaled


def resnet20(
    input_shape: tuple[int, int, int] = (32, 32, 3),
    classes: int = 10,
    *,
    width: float = 1.0,
    fused_batch_norm: bool = True,
    kernel_initializer="he_normal",
    seed: int | None = None,
) -> keras.Model:
    """ResNet-20: three stages of three residual blocks with 16, 32 and 64 channels.

    Where the number of channels changes, the shortcut is a 1x1 convolution followed by batch
    normalization; 270,896 weights in kernels for CIFAR-10. Batch normalization averages with
    momentum 0.9.

    Args:
        input_shape: (height, width, channels) of one image.
        classes: Number of output units.
        width: Factor for the number of channels, each rounded, at least 1.
        fused_batch_norm: Whether to use `kt.layers.FusedBatchNormalization`, which computes the
            same as Keras's layer in less time. False: `keras.layers.BatchNormalization`.
        kernel_initializer: Keras initializer of every kernel; the output bias starts at zero.
        seed: Makes the initial weights a function of this integer alone. None: Keras's global seed.

    Returns:
        A built `keras.Model` from (batch, *input_shape) to logits of shape (batch, classes).
        Kernel paths: `conv1/kernel`, `stage1_block1_conv1/kernel` to `stage3_block3_conv2/kernel`,
        `stage2_block1_shortcut/kernel`, `stage3_block1_shortcut/kernel`, `logits/kernel`.

    Example:

    ```python
    import keras_tickets as kt

    assert kt.models.resnet20(width=0.5).get_layer("logits").kernel.shape == (32, 10)
    ```

    References:
        He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2.
    """
    channels = scaled((16, 32, 64), width)
    if len(input_shape) != 3:
        raise ValueError(f"`input_shape` must be (height, width, channels), got {input_shape!r}.")
    normalization = FusedBatchNormalization if fused_batch_norm else layers.BatchNormalization

    def convolution(x, filters, name, size=3, strides=1):
        x = layers.Conv2D(
            filters,
            size,
            strides,
            padding="same",
            use_bias=False,
            kernel_initializer=seeded(kernel_initializer, seed, name),
            name=name,
        )(x)
        return normalization(momentum=0.9, epsilon=1.001e-5, name=f"{name}_norm")(x)

    inputs = keras.Input(input_shape, name="image")
    x = layers.ReLU(name="conv1_relu")(convolution(inputs, channels[0], "conv1"))
    for stage in (1, 2, 3):
        for block in (1, 2, 3):
            x = _block(convolution, x, channels[stage - 1], f"stage{stage}_block{block}")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    initializer = seeded(kernel_initializer, seed, "logits")
    x = layers.Dense(classes, kernel_initializer=initializer, name="logits")(x)
    return keras.Model(inputs, x, name="resnet20")


def _block(convolution, x, filters, name):
    narrower = x.shape[-1] != filters
    strides = 2 if narrower else 1
    shortcut = x
    if narrower:
        shortcut = convolution(x, filters, f"{name}_shortcut", size=1, strides=strides)
    x = layers.ReLU(name=f"{name}_relu1")(convolution(x, filters, f"{name}_conv1", strides=strides))
    x = layers.Add(name=f"{name}_add")([convolution(x, filters, f"{name}_conv2"), shortcut])
    return layers.ReLU(name=f"{name}_relu2")(x)
