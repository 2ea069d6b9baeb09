"""Conv-2, Conv-4 and Conv-6, the scaled-down VGG networks of the lottery-ticket paper."""

import keras
from keras import layers

from keras_tickets.models.initialization import seeded
from keras_tickets.models.widths import scaled


def conv2(
    input_shape: tuple[int, int, int] = (32, 32, 3),
    classes: int = 10,
    *,
    width: float = 1.0,
    kernel_initializer="glorot_normal",
    seed: int | None = None,
) -> keras.Model:
    """Conv-2: two 3x3 convolutions of 64 channels, a 2x2 pooling, then 256-256-classes units.

    Args:
        input_shape: (height, width, channels) of one image; each side at least 2.
        classes: Number of output units.
        width: Factor for the number of channels and hidden units, each rounded, at least 1.
        kernel_initializer: Keras initializer of every kernel; biases start at zero.
        seed: Makes the initial weights a function of this integer alone. None: Keras's global seed.

    Returns:
        A built `keras.Model` from (batch, *input_shape) to logits of shape (batch, classes).
        Kernel paths: `conv1/kernel`, `conv2/kernel`, `fc1/kernel`, `fc2/kernel`, `logits/kernel`.

    Example:

    ```python
    import keras_tickets as kt

    assert kt.models.conv2(seed=0).output_shape == (None, 10)
    ```

    References:
        Frankle and Carbin, "The Lottery Ticket Hypothesis", ICLR 2019, figure 2.
    """
    return _convnet("conv2", (64,), input_shape, classes, width, kernel_initializer, seed)


def conv4(
    input_shape: tuple[int, int, int] = (32, 32, 3),
    classes: int = 10,
    *,
    width: float = 1.0,
    kernel_initializer="glorot_normal",
    seed: int | None = None,
) -> keras.Model:
    """Conv-4: pairs of 3x3 convolutions of 64 and 128 channels, then 256-256-classes units.

    Args:
        input_shape: (height, width, channels) of one image; each side at least 4.
        classes: Number of output units.
        width: Factor for the number of channels and hidden units, each rounded, at least 1.
        kernel_initializer: Keras initializer of every kernel; biases start at zero.
        seed: Makes the initial weights a function of this integer alone. None: Keras's global seed.

    Returns:
        A built `keras.Model` from (batch, *input_shape) to logits of shape (batch, classes).
        Kernel paths: `conv1/kernel` to `conv4/kernel`, `fc1/kernel`, `fc2/kernel`, `logits/kernel`.

    Example:

    ```python
    import keras_tickets as kt

    assert kt.models.conv4(seed=0).output_shape == (None, 10)
    ```

    References:
        Frankle and Carbin, "The Lottery Ticket Hypothesis", ICLR 2019, figure 2.
    """
    return _convnet("conv4", (64, 128), input_shape, classes, width, kernel_initializer, seed)


def conv6(
    input_shape: tuple[int, int, int] = (32, 32, 3),
    classes: int = 10,
    *,
    width: float = 1.0,
    kernel_initializer="glorot_normal",
    seed: int | None = None,
) -> keras.Model:
    """Conv-6: pairs of 3x3 convolutions of 64, 128 and 256 channels, then 256-256-classes units.

    Args:
        input_shape: (height, width, channels) of one image; each side at least 8.
        classes: Number of output units.
        width: Factor for the number of channels and hidden units, each rounded, at least 1.
        kernel_initializer: Keras initializer of every kernel; biases start at zero.
        seed: Makes the initial weights a function of this integer alone. None: Keras's global seed.

    Returns:
        A built `keras.Model` from (batch, *input_shape) to logits of shape (batch, classes).
        Kernel paths: `conv1/kernel` to `conv6/kernel`, `fc1/kernel`, `fc2/kernel`, `logits/kernel`.

    Example:

    ```python
    import keras_tickets as kt

    assert kt.models.conv6(seed=0).output_shape == (None, 10)
    ```

    References:
        Frankle and Carbin, "The Lottery Ticket Hypothesis", ICLR 2019, figure 2.
    """
    return _convnet("conv6", (64, 128, 256), input_shape, classes, width, kernel_initializer, seed)


def _convnet(name, channels, input_shape, classes, width, kernel_initializer, seed):
    if len(input_shape) != 3 or min(input_shape[:2]) < 2 ** len(channels):
        raise ValueError(
            f"`input_shape` of {name} must be (height, width, channels) with sides of at least "
            f"{2 ** len(channels)}, got {input_shape!r}."
        )

    def initializer(layer):
        return seeded(kernel_initializer, seed, layer)

    inputs = x = keras.Input(input_shape, name="image")
    for stage, filters in enumerate(scaled(channels, width)):
        for layer in (f"conv{2 * stage + 1}", f"conv{2 * stage + 2}"):
            x = layers.Conv2D(
                filters,
                3,
                padding="same",
                activation="relu",
                kernel_initializer=initializer(layer),
                name=layer,
            )(x)
        x = layers.MaxPooling2D(2, name=f"pool{stage + 1}")(x)
    x = layers.Flatten(name="flatten")(x)
    (hidden,) = scaled((256,), width)
    for layer, units, activation in (
        ("fc1", hidden, "relu"),
        ("fc2", hidden, "relu"),
        ("logits", classes, None),
    ):
        x = layers.Dense(units, activation, kernel_initializer=initializer(layer), name=layer)(x)
    return keras.Model(inputs, x, name=name)
