"""ResNet-83 and ResNet-164, residual networks of bottleneck blocks for CIFAR-sized images."""

import keras

from keras_tickets.models.convolution import Convolution
from keras_tickets.models.residual import bottleneck_block, cifar_network


def resnet83_bottleneck(
    input_shape: tuple[int, int, int] = (32, 32, 3),
    classes: int = 10,
    *,
    width: float = 1.0,
    fused_batch_norm: bool = True,
    kernel_initializer="he_normal",
    gamma_initializer="ones",
    seed: int | None = None,
) -> keras.Model:
    """ResNet-83: three stages of nine bottleneck blocks with 16, 32 and 64 channels inside.

    The code of the paper on tickets from soft labels builds it where it says ResNet-56; the
    standard network of that name is `resnet56`. 856,496 weights in kernels for CIFAR-10. The 3x3
    convolution of a block has the strides. Batch normalization averages with momentum 0.9.

    Args:
        input_shape: (height, width, channels) of one image.
        classes: Number of output units.
        width: Factor for the number of channels, each rounded, at least 1.
        fused_batch_norm: Whether to use `kt.layers.FusedBatchNormalization`, which computes the
            same as Keras's layer in less time. False: `keras.layers.BatchNormalization`.
        kernel_initializer: Keras initializer of every kernel; the output bias starts at zero.
        gamma_initializer: Keras initializer of the scales of batch normalization. Lottery-ticket
            studies draw them uniformly: `keras.initializers.RandomUniform(0, 1)`.
        seed: Makes the initial weights a function of this integer alone. None: Keras's global seed.

    Returns:
        A built `keras.Model` from (batch, *input_shape) to logits of shape (batch, classes).
        Kernel paths: `conv1/kernel`, `stage1_block1_conv1/kernel` to `stage3_block9_conv3/kernel`,
        `stage1_block1_shortcut/kernel` and so on for each stage, `logits/kernel`.

    Example:

    ```python
    import keras_tickets as kt

    assert kt.models.resnet83_bottleneck(width=0.25).output_shape == (None, 10)
    ```

    References:
        He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, figure 5.
        Ma et al., "Good Students Play Big Lottery Better", 2021 (arXiv 2101.03255v2).
    """
    return cifar_network(
        "resnet83_bottleneck",
        bottleneck_block,
        9,
        input_shape,
        classes,
        width,
        Convolution(fused_batch_norm, kernel_initializer, gamma_initializer, seed),
    )


def resnet164_bottleneck(
    input_shape: tuple[int, int, int] = (32, 32, 3),
    classes: int = 10,
    *,
    width: float = 1.0,
    fused_batch_norm: bool = True,
    kernel_initializer="he_normal",
    gamma_initializer="ones",
    seed: int | None = None,
) -> keras.Model:
    """ResNet-164: three stages of eighteen bottleneck blocks with 16, 32 and 64 channels inside.

    The code of the paper on tickets from soft labels builds it where it says ResNet-110; the
    standard network of that name is `resnet110`. 1,679,024 weights in kernels for CIFAR-10.

    Args:
        input_shape: As in `resnet83_bottleneck`, like the arguments that follow.
        classes: Number of output units.
        width: Factor for the number of channels.
        fused_batch_norm: Whether to use `kt.layers.FusedBatchNormalization`.
        kernel_initializer: Keras initializer of every kernel.
        gamma_initializer: Keras initializer of the scales of batch normalization.
        seed: Makes the initial weights a function of this integer alone.

    Returns:
        A built `keras.Model`, with kernel paths as in `resnet83_bottleneck`.

    Example:

    ```python
    import keras_tickets as kt

    assert kt.models.resnet164_bottleneck(width=0.25).output_shape == (None, 10)
    ```

    References:
        He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, figure 5.
        Ma et al., "Good Students Play Big Lottery Better", 2021 (arXiv 2101.03255v2).
    """
    return cifar_network(
        "resnet164_bottleneck",
        bottleneck_block,
        18,
        input_shape,
        classes,
        width,
        Convolution(fused_batch_norm, kernel_initializer, gamma_initializer, seed),
    )
