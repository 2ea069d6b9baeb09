"""VGG-11, -13, -16 and -19 with batch normalization and a single dense layer."""

import keras
from keras import layers

from keras_tickets.models.convolution import Convolution
from keras_tickets.models.residual import check_image_shape
from keras_tickets.models.widths import scaled


def vgg11(
    input_shape: tuple[int, int, int] = (32, 32, 3),
    classes: int = 10,
    *,
    width: float = 1.0,
    fused_batch_norm: bool = True,
    kernel_initializer="he_normal",
    gamma_initializer="ones",
    seed: int | None = None,
) -> keras.Model:
    """VGG-11: groups of 1, 1, 2, 2 and 2 3x3 convolutions, then one dense layer.

    64, 128, 256, 512 and 512 channels, batch normalization and ReLU after each convolution,
    maximum pooling after the first four groups and global average pooling after the last:
    9,222,848 weights in kernels for CIFAR-10. Batch normalization averages with momentum 0.9.

    Args:
        input_shape: (height, width, channels) of one image; each side at least 16.
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
        Kernel paths: `conv1/kernel` to `conv8/kernel`, `logits/kernel`.

    Raises:
        ValueError: A side of the image is too short for four poolings.

    Example:

    ```python
    import keras_tickets as kt

    assert kt.models.vgg11(width=0.25).output_shape == (None, 10)
    ```

    References:
        Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
        Recognition", ICLR 2015, table 1.
        Frankle et al., "Linear Mode Connectivity and the Lottery Ticket Hypothesis", ICML 2020.
    """
    return _vgg(
        "vgg11",
        (1, 1, 2, 2, 2),
        input_shape,
        classes,
        width,
        Convolution(fused_batch_norm, kernel_initializer, gamma_initializer, seed),
    )


def vgg13(
    input_shape: tuple[int, int, int] = (32, 32, 3),
    classes: int = 10,
    *,
    width: float = 1.0,
    fused_batch_norm: bool = True,
    kernel_initializer="he_normal",
    gamma_initializer="ones",
    seed: int | None = None,
) -> keras.Model:
    """VGG-13: groups of 2, 2, 2, 2 and 2 3x3 convolutions, then one dense layer.

    As `vgg11`, with 9,407,168 weights in kernels for CIFAR-10.

    Args:
        input_shape: As in `vgg11`, like the arguments that follow.
        classes: Number of output units.
        width: Factor for the number of channels.
        fused_batch_norm: Whether to use `kt.layers.FusedBatchNormalization`.
        kernel_initializer: Keras initializer of every kernel.
        gamma_initializer: Keras initializer of the scales of batch normalization.
        seed: Makes the initial weights a function of this integer alone.

    Returns:
        A built `keras.Model`. Kernel paths: `conv1/kernel` to `conv10/kernel`, `logits/kernel`.

    Example:

    ```python
    import keras_tickets as kt

    assert kt.models.vgg13(width=0.25).output_shape == (None, 10)
    ```

    References:
        Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
        Recognition", ICLR 2015, table 1.
    """
    return _vgg(
        "vgg13",
        (2, 2, 2, 2, 2),
        input_shape,
        classes,
        width,
        Convolution(fused_batch_norm, kernel_initializer, gamma_initializer, seed),
    )


def vgg16(
    input_shape: tuple[int, int, int] = (32, 32, 3),
    classes: int = 10,
    *,
    width: float = 1.0,
    fused_batch_norm: bool = True,
    kernel_initializer="he_normal",
    gamma_initializer="ones",
    seed: int | None = None,
) -> keras.Model:
    """VGG-16: groups of 2, 2, 3, 3 and 3 3x3 convolutions, then one dense layer.

    As `vgg11`, with 14,715,584 weights in kernels for CIFAR-10.

    Args:
        input_shape: As in `vgg11`, like the arguments that follow.
        classes: Number of output units.
        width: Factor for the number of channels.
        fused_batch_norm: Whether to use `kt.layers.FusedBatchNormalization`.
        kernel_initializer: Keras initializer of every kernel.
        gamma_initializer: Keras initializer of the scales of batch normalization.
        seed: Makes the initial weights a function of this integer alone.

    Returns:
        A built `keras.Model`. Kernel paths: `conv1/kernel` to `conv13/kernel`, `logits/kernel`.

    Example:

    ```python
    import keras_tickets as kt

    assert kt.models.vgg16(width=0.25).output_shape == (None, 10)
    ```

    References:
        Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
        Recognition", ICLR 2015, table 1.
    """
    return _vgg(
        "vgg16",
        (2, 2, 3, 3, 3),
        input_shape,
        classes,
        width,
        Convolution(fused_batch_norm, kernel_initializer, gamma_initializer, seed),
    )


def vgg19(
    input_shape: tuple[int, int, int] = (32, 32, 3),
    classes: int = 10,
    *,
    width: float = 1.0,
    fused_batch_norm: bool = True,
    kernel_initializer="he_normal",
    gamma_initializer="ones",
    seed: int | None = None,
) -> keras.Model:
    """VGG-19: groups of 2, 2, 4, 4 and 4 3x3 convolutions, then one dense layer.

    As `vgg11`, with 20,024,000 weights in kernels for CIFAR-10.

    Args:
        input_shape: As in `vgg11`, like the arguments that follow.
        classes: Number of output units.
        width: Factor for the number of channels.
        fused_batch_norm: Whether to use `kt.layers.FusedBatchNormalization`.
        kernel_initializer: Keras initializer of every kernel.
        gamma_initializer: Keras initializer of the scales of batch normalization.
        seed: Makes the initial weights a function of this integer alone.

    Returns:
        A built `keras.Model`. Kernel paths: `conv1/kernel` to `conv16/kernel`, `logits/kernel`.

    Example:

    ```python
    import keras_tickets as kt

    assert kt.models.vgg19(width=0.25).output_shape == (None, 10)
    ```

    References:
        Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
        Recognition", ICLR 2015, table 1.
    """
    return _vgg(
        "vgg19",
        (2, 2, 4, 4, 4),
        input_shape,
        classes,
        width,
        Convolution(fused_batch_norm, kernel_initializer, gamma_initializer, seed),
    )


def _vgg(name, groups, input_shape, classes, width, convolution):
    check_image_shape(input_shape)
    shortest = 2 ** (len(groups) - 1)
    if min(input_shape[:2]) < shortest:
        raise ValueError(
            f"`input_shape` of {name} must have sides of at least {shortest}, got {input_shape!r}."
        )
    inputs = x = keras.Input(input_shape, name="image")
    index = 0
    for group, filters in enumerate(scaled((64, 128, 256, 512, 512), width)):
        if group > 0:
            x = layers.MaxPooling2D(2, name=f"pool{group}")(x)
        for _ in range(groups[group]):
            index += 1
            x = convolution(x, filters, f"conv{index}")
            x = layers.ReLU(name=f"conv{index}_relu")(x)
    return keras.Model(inputs, convolution.logits(x, classes), name=name)
