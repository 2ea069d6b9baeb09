"""Residual blocks and their stages, shared by the networks for CIFAR and ImageNet."""

from collections.abc import Callable, Sequence

import keras
from keras import layers

from keras_tickets.models.convolution import Convolution
from keras_tickets.models.widths import scaled

EXPANSION = 4


def basic_block(
    convolution: Convolution, x: keras.KerasTensor, filters: int, strides: int, name: str
) -> keras.KerasTensor:
    """Two 3x3 convolutions with a shortcut; the first one has the stride."""
    shortcut = _shortcut(convolution, x, filters, strides, name)
    x = layers.ReLU(name=f"{name}_relu1")(convolution(x, filters, f"{name}_conv1", strides=strides))
    x = layers.Add(name=f"{name}_add")([convolution(x, filters, f"{name}_conv2"), shortcut])
    return layers.ReLU(name=f"{name}_relu2")(x)


def bottleneck_block(
    convolution: Convolution, x: keras.KerasTensor, filters: int, strides: int, name: str
) -> keras.KerasTensor:
    """1x1, 3x3 and 1x1 convolutions with a shortcut; the last is four times as wide as the others.

    The 3x3 convolution has the stride.
    """
    shortcut = _shortcut(convolution, x, EXPANSION * filters, strides, name)
    x = layers.ReLU(name=f"{name}_relu1")(convolution(x, filters, f"{name}_conv1", size=1))
    x = layers.ReLU(name=f"{name}_relu2")(convolution(x, filters, f"{name}_conv2", strides=strides))
    x = convolution(x, EXPANSION * filters, f"{name}_conv3", size=1)
    return layers.ReLU(name=f"{name}_relu3")(layers.Add(name=f"{name}_add")([x, shortcut]))


def residual_stages(
    block: Callable[..., keras.KerasTensor],
    convolution: Convolution,
    x: keras.KerasTensor,
    channels: Sequence[int],
    blocks: Sequence[int],
) -> keras.KerasTensor:
    """Adds stages of residual blocks; each but the first halves height and width.

    Args:
        block: `basic_block` or `bottleneck_block`.
        convolution: Adds a convolution with batch normalization.
        x: Output of the stem.
        channels: Channels of each stage's 3x3 convolutions.
        blocks: Number of blocks of each stage.

    Returns:
        Output of the last block; the layers are named `stage1_block1_conv1` and so on.

    Example:

    ```python
    import keras
    from keras_tickets.models.convolution import Convolution
    from keras_tickets.models.residual import basic_block, residual_stages

    convolution = Convolution(True, "he_normal", "ones", seed=0)
    x = residual_stages(basic_block, convolution, keras.Input((8, 8, 4)), (4, 8), (1, 1))
    assert x.shape == (None, 4, 4, 8)
    ```
    """
    for stage, (filters, count) in enumerate(zip(channels, blocks, strict=True), start=1):
        for index in range(1, count + 1):
            strides = 2 if stage > 1 and index == 1 else 1
            x = block(convolution, x, filters, strides, f"stage{stage}_block{index}")
    return x


def cifar_network(
    name: str,
    block: Callable[..., keras.KerasTensor],
    blocks: int,
    input_shape: tuple[int, int, int],
    classes: int,
    width: float,
    convolution: Convolution,
) -> keras.Model:
    """A 3x3 convolution, three stages of 16, 32 and 64 channels, and the output layer.

    Args:
        name: Name of the model.
        block: `basic_block` or `bottleneck_block`.
        blocks: Number of blocks of each stage.
        input_shape: (height, width, channels) of one image.
        classes: Number of output units.
        width: Factor for the number of channels, each rounded, at least 1.
        convolution: Adds a convolution with batch normalization.

    Returns:
        A built `keras.Model` from (batch, *input_shape) to logits of shape (batch, classes).

    Raises:
        ValueError: `input_shape` is not the shape of an image, or `width` is not positive.
    """
    channels = scaled((16, 32, 64), width)
    check_image_shape(input_shape)
    inputs = keras.Input(input_shape, name="image")
    x = layers.ReLU(name="conv1_relu")(convolution(inputs, channels[0], "conv1"))
    x = residual_stages(block, convolution, x, channels, 3 * [blocks])
    return keras.Model(inputs, convolution.logits(x, classes), name=name)


def check_image_shape(input_shape: tuple[int, int, int]) -> None:
    """Raises a `ValueError` unless the shape is that of an image."""
    if len(input_shape) != 3:
        raise ValueError(
            f"`input_shape` must be (height, width, channels). Received: "
            f"input_shape={input_shape!r}"
        )


def _shortcut(convolution, x, filters, strides, name):
    if strides == 1 and x.shape[-1] == filters:
        return x
    return convolution(x, filters, f"{name}_shortcut", size=1, strides=strides)
