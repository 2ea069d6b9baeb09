"""ResNet-20, -32, -44, -56 and -110, the residual networks for CIFAR-sized images."""

import keras

from keras_tickets.models.convolution import Convolution
from keras_tickets.models.residual import basic_block, cifar_network


def resnet20(
    input_shape: tuple[int, int, int] = (32, 32, 3),
    classes: int = 10,
    *,
    width: float = 1.0,
    fused_batch_norm: bool = True,
    kernel_initializer="he_normal",
    gamma_initializer="ones",
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
        gamma_initializer: Keras initializer of the scales of batch normalization. Lottery-ticket
            studies draw them uniformly: `keras.initializers.RandomUniform(0, 1)`.
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
    return cifar_network(
        "resnet20",
        basic_block,
        3,
        input_shape,
        classes,
        width,
        Convolution(fused_batch_norm, kernel_initializer, gamma_initializer, seed),
    )


def resnet32(
    input_shape: tuple[int, int, int] = (32, 32, 3),
    classes: int = 10,
    *,
    width: float = 1.0,
    fused_batch_norm: bool = True,
    kernel_initializer="he_normal",
    gamma_initializer="ones",
    seed: int | None = None,
) -> keras.Model:
    """ResNet-32: three stages of five residual blocks with 16, 32 and 64 channels.

    464,432 weights in kernels for CIFAR-10.

    Args:
        input_shape: As in `resnet20`, like the arguments that follow.
        classes: Number of output units.
        width: Factor for the number of channels.
        fused_batch_norm: Whether to use `kt.layers.FusedBatchNormalization`.
        kernel_initializer: Keras initializer of every kernel.
        gamma_initializer: Keras initializer of the scales of batch normalization.
        seed: Makes the initial weights a function of this integer alone.

    Returns:
        A built `keras.Model`, with kernel paths as in `resnet20`.

    Example:

    ```python
    import keras_tickets as kt

    assert kt.models.resnet32(width=0.25).output_shape == (None, 10)
    ```

    References:
        He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2.
    """
    return cifar_network(
        "resnet32",
        basic_block,
        5,
        input_shape,
        classes,
        width,
        Convolution(fused_batch_norm, kernel_initializer, gamma_initializer, seed),
    )


def resnet44(
    input_shape: tuple[int, int, int] = (32, 32, 3),
    classes: int = 10,
    *,
    width: float = 1.0,
    fused_batch_norm: bool = True,
    kernel_initializer="he_normal",
    gamma_initializer="ones",
    seed: int | None = None,
) -> keras.Model:
    """ResNet-44: three stages of seven residual blocks with 16, 32 and 64 channels.

    657,968 weights in kernels for CIFAR-10.

    Args:
        input_shape: As in `resnet20`, like the arguments that follow.
        classes: Number of output units.
        width: Factor for the number of channels.
        fused_batch_norm: Whether to use `kt.layers.FusedBatchNormalization`.
        kernel_initializer: Keras initializer of every kernel.
        gamma_initializer: Keras initializer of the scales of batch normalization.
        seed: Makes the initial weights a function of this integer alone.

    Returns:
        A built `keras.Model`, with kernel paths as in `resnet20`.

    Example:

    ```python
    import keras_tickets as kt

    assert kt.models.resnet44(width=0.25).output_shape == (None, 10)
    ```

    References:
        He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2.
    """
    return cifar_network(
        "resnet44",
        basic_block,
        7,
        input_shape,
        classes,
        width,
        Convolution(fused_batch_norm, kernel_initializer, gamma_initializer, seed),
    )


def resnet56(
    input_shape: tuple[int, int, int] = (32, 32, 3),
    classes: int = 10,
    *,
    width: float = 1.0,
    fused_batch_norm: bool = True,
    kernel_initializer="he_normal",
    gamma_initializer="ones",
    seed: int | None = None,
) -> keras.Model:
    """ResNet-56: three stages of nine residual blocks with 16, 32 and 64 channels.

    851,504 weights in kernels for CIFAR-10.

    Args:
        input_shape: As in `resnet20`, like the arguments that follow.
        classes: Number of output units.
        width: Factor for the number of channels.
        fused_batch_norm: Whether to use `kt.layers.FusedBatchNormalization`.
        kernel_initializer: Keras initializer of every kernel.
        gamma_initializer: Keras initializer of the scales of batch normalization.
        seed: Makes the initial weights a function of this integer alone.

    Returns:
        A built `keras.Model`, with kernel paths as in `resnet20`.

    Example:

    ```python
    import keras_tickets as kt

    assert kt.models.resnet56(width=0.25).output_shape == (None, 10)
    ```

    References:
        He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2.
    """
    return cifar_network(
        "resnet56",
        basic_block,
        9,
        input_shape,
        classes,
        width,
        Convolution(fused_batch_norm, kernel_initializer, gamma_initializer, seed),
    )


def resnet110(
    input_shape: tuple[int, int, int] = (32, 32, 3),
    classes: int = 10,
    *,
    width: float = 1.0,
    fused_batch_norm: bool = True,
    kernel_initializer="he_normal",
    gamma_initializer="ones",
    seed: int | None = None,
) -> keras.Model:
    """ResNet-110: three stages of eighteen residual blocks with 16, 32 and 64 channels.

    1,722,416 weights in kernels for CIFAR-10.

    Args:
        input_shape: As in `resnet20`, like the arguments that follow.
        classes: Number of output units.
        width: Factor for the number of channels.
        fused_batch_norm: Whether to use `kt.layers.FusedBatchNormalization`.
        kernel_initializer: Keras initializer of every kernel.
        gamma_initializer: Keras initializer of the scales of batch normalization.
        seed: Makes the initial weights a function of this integer alone.

    Returns:
        A built `keras.Model`, with kernel paths as in `resnet20`.

    Example:

    ```python
    import keras_tickets as kt

    assert kt.models.resnet110(width=0.25).output_shape == (None, 10)
    ```

    References:
        He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2.
    """
    return cifar_network(
        "resnet110",
        basic_block,
        18,
        input_shape,
        classes,
        width,
        Convolution(fused_batch_norm, kernel_initializer, gamma_initializer, seed),
    )
