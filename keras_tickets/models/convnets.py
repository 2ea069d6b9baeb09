"""Conv-2, Conv-4 and Conv-6, the scaled-down VGG networks of the lottery-ticket paper."""

from typing import Protocol

import keras
from keras import layers

from keras_tickets.models.initialization import Initializer, seeded
from keras_tickets.models.widths import scaled

_DOCSTRING = """Conv-{depth}: pairs of 3x3 convolutions, each pooled, then 256-256-classes units.

The convolutions have {channels} channels, followed by a 2x2 maximum pooling.

Args:
    input_shape: (height, width, channels) of one image; each side at least {side}.
    classes: Number of output units.
    width: Factor for the number of channels and hidden units, each rounded, at least 1.
    kernel_initializer: Keras initializer of every kernel; biases start at zero.
    seed: Makes the initial weights a function of this integer alone. None: Keras's global seed.

Returns:
    A built `keras.Model` from (batch, *input_shape) to logits of shape (batch, classes).
    Kernel paths: `conv1/kernel` to `conv{depth}/kernel`, `fc1/kernel`, `fc2/kernel`,
    `logits/kernel`.

Raises:
    ValueError: `input_shape` is not the shape of such an image, or `width` is not positive.

Example:

```python
import keras_tickets as kt

assert kt.models.conv{depth}(seed=0).output_shape == (None, 10)
```

References:
    Frankle and Carbin, "The Lottery Ticket Hypothesis", ICLR 2019, figure 2.
"""


class ConvNet(Protocol):
    """A function that makes one of these networks."""

    def __call__(
        self,
        input_shape: tuple[int, int, int] = (32, 32, 3),
        classes: int = 10,
        *,
        width: float = 1.0,
        kernel_initializer: Initializer = "glorot_normal",
        seed: int | None = None,
    ) -> keras.Model:
        """Makes a built network."""


def _convnet(channels: tuple[int, ...]) -> ConvNet:
    """Returns a maker of networks with a pair of convolutions for each number of channels."""
    depth = 2 * len(channels)

    def make(
        input_shape: tuple[int, int, int] = (32, 32, 3),
        classes: int = 10,
        *,
        width: float = 1.0,
        kernel_initializer: Initializer = "glorot_normal",
        seed: int | None = None,
    ) -> keras.Model:
        return _network(
            f"conv{depth}", channels, input_shape, classes, width, kernel_initializer, seed
        )

    make.__name__ = make.__qualname__ = f"conv{depth}"
    make.__doc__ = _DOCSTRING.format(
        depth=depth, channels=", ".join(map(str, channels)), side=2 ** len(channels)
    )
    return make


def _network(
    name: str,
    channels: tuple[int, ...],
    input_shape: tuple[int, int, int],
    classes: int,
    width: float,
    kernel_initializer: Initializer,
    seed: int | None,
) -> keras.Model:
    if len(input_shape) != 3 or min(input_shape[:2]) < 2 ** len(channels):
        raise ValueError(
            f"`input_shape` of {name} must be (height, width, channels) with sides of at least "
            f"{2 ** len(channels)}. Received: input_shape={input_shape!r}"
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


conv2 = _convnet((64,))
conv4 = _convnet((64, 128))
conv6 = _convnet((64, 128, 256))
