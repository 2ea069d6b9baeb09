"""VGG-11, -13, -16 and -19 with batch normalization and a single dense layer."""

import keras
from keras import layers

from keras_tickets.models._normalized import NormalizedNetwork, normalized_network
from keras_tickets.models.convolution import Convolution
from keras_tickets.models.residual import check_image_shape
from keras_tickets.models.widths import scaled

CHANNELS = (64, 128, 256, 512, 512)


def _vgg(convolutions: tuple[int, ...], weights: int) -> NormalizedNetwork:
    """Returns a maker of networks, given the number of convolutions in each group."""
    depth = sum(convolutions) + 3  # The original networks have three dense layers.
    name = f"vgg{depth}"

    def build(input_shape, classes, width, convolution):
        _check_sides(name, input_shape)
        return _network(name, convolutions, input_shape, classes, width, convolution)

    *first, last = map(str, convolutions)
    return normalized_network(
        build,
        name,
        module=__name__,
        summary=f"VGG-{depth}: groups of {', '.join(first)} and {last} 3x3 convolutions, then one "
        "dense layer.",
        details="64, 128, 256, 512 and 512 channels, batch normalization and ReLU after each "
        "convolution, maximum\npooling after the first four groups and global average pooling "
        "after the last.",
        weights=weights,
        kernel_paths=f"`conv1/kernel` to `conv{sum(convolutions)}/kernel`, `logits/kernel`",
        references='Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale '
        'Image\n    Recognition", ICLR 2015, table 1.\n    Frankle et al., "Linear Mode '
        'Connectivity and the Lottery Ticket Hypothesis", ICML 2020.',
        limit="; each side at least 16",
    )


def _network(
    name: str,
    convolutions: tuple[int, ...],
    input_shape: tuple[int, int, int],
    classes: int,
    width: float,
    convolution: Convolution,
) -> keras.Model:
    inputs = x = keras.Input(input_shape, name="image")
    index = 0
    for group, filters in enumerate(scaled(CHANNELS, width)):
        if group > 0:
            x = layers.MaxPooling2D(2, name=f"pool{group}")(x)
        for _ in range(convolutions[group]):
            index += 1
            x = convolution(x, filters, f"conv{index}")
            x = layers.ReLU(name=f"conv{index}_relu")(x)
    return keras.Model(inputs, convolution.logits(x, classes), name=name)


def _check_sides(name, input_shape):
    check_image_shape(input_shape)
    shortest = 2 ** (len(CHANNELS) - 1)
    if min(input_shape[:2]) < shortest:
        raise ValueError(
            f"`input_shape` of {name} must have sides of at least {shortest}. Received: "
            f"input_shape={input_shape!r}"
        )


vgg11 = _vgg((1, 1, 2, 2, 2), weights=9_222_848)
vgg13 = _vgg((2, 2, 2, 2, 2), weights=9_407_168)
vgg16 = _vgg((2, 2, 3, 3, 3), weights=14_715_584)
vgg19 = _vgg((2, 2, 4, 4, 4), weights=20_024_000)
