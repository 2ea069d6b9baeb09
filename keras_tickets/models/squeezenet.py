"""SqueezeNet, version 1.0."""

import keras
from keras import layers

from keras_tickets._checks import check_number
from keras_tickets.models.initialization import Initializer, seeded
from keras_tickets.models.residual import check_image_shape
from keras_tickets.models.widths import scaled

# Channels of the 1x1 convolution that squeezes, and of each of the two that expand.
FIRES = {
    "fire2": (16, 64),
    "fire3": (16, 64),
    "fire4": (32, 128),
    "fire5": (32, 128),
    "fire6": (48, 192),
    "fire7": (48, 192),
    "fire8": (64, 256),
    "fire9": (64, 256),
}
POOLED = ("fire4", "fire8")
SHORTEST = 29


def squeezenet(
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 1000,
    *,
    width: float = 1.0,
    dropout: float = 0.5,
    kernel_initializer: Initializer = "glorot_uniform",
    seed: int | None = None,
) -> keras.Model:
    """SqueezeNet 1.0: eight fire modules and no dense layer; 1,244,448 weights in kernels.

    A fire module squeezes by a 1x1 convolution, and joins what 1x1 and 3x3 convolutions make of it.
    Convolutions have biases and are followed by ReLU, the last one too; there is no batch
    normalization.

    Args:
        input_shape: (height, width, channels) of one image; each side at least 29.
        classes: Number of output units.
        width: Factor for the number of channels, each rounded, at least 1.
        dropout: Share of the last features that are dropped in training, in [0, 1).
        kernel_initializer: Keras initializer of every kernel; biases start at zero.
        seed: Makes the initial weights a function of this integer alone. None: Keras's global seed.

    Returns:
        A built `keras.Model` from (batch, *input_shape) to logits of shape (batch, classes).
        Kernel paths: `conv1/kernel`, `fire2_squeeze/kernel`, `fire2_expand1/kernel`,
        `fire2_expand3/kernel` to `fire9_expand3/kernel`, `logits/kernel`.

    Raises:
        ValueError: `input_shape` is not the shape of such an image, or a number is out of range.

    Example:

    ```python
    import keras_tickets as kt

    small = kt.models.squeezenet((32, 32, 3), classes=10, width=0.25)
    assert small.output_shape == (None, 10)
    ```

    References:
        Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters", 2016 (arXiv
        1602.07360), table 1.
        Frankle et al., "Stabilizing the Lottery Ticket Hypothesis" (arXiv 1903.01611v3).
    """
    check_image_shape(input_shape)
    if min(input_shape[:2]) < SHORTEST:
        raise ValueError(
            f"`input_shape` of squeezenet must have sides of at least {SHORTEST}. Received: "
            f"input_shape={input_shape!r}"
        )
    check_number("dropout", dropout, "[0, 1)")

    def convolution(x, filters, name, size=1, strides=1):
        return layers.Conv2D(
            filters,
            size,
            strides,
            padding="same",
            activation="relu",
            kernel_initializer=seeded(kernel_initializer, seed, name),
            name=name,
        )(x)

    inputs = keras.Input(input_shape, name="image")
    (stem,) = scaled((96,), width)
    x = convolution(inputs, stem, "conv1", size=7, strides=2)
    x = layers.MaxPooling2D(3, 2, name="conv1_pool")(x)
    for name, channels in FIRES.items():
        squeezed, expanded = scaled(channels, width)
        x = convolution(x, squeezed, f"{name}_squeeze")
        both = [convolution(x, expanded, f"{name}_expand{size}", size) for size in (1, 3)]
        x = layers.Concatenate(name=name)(both)
        if name in POOLED:
            x = layers.MaxPooling2D(3, 2, name=f"{name}_pool")(x)
    x = convolution(layers.Dropout(dropout, seed=seed, name="dropout")(x), classes, "logits")
    return keras.Model(inputs, layers.GlobalAveragePooling2D(name="pool")(x), name="squeezenet")
