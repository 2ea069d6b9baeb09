"""WRN-22-2, the wide residual network of the RigL paper for CIFAR-10."""

import keras
from keras import layers

from keras_tickets.models._normalized import NormalizedNetwork, normalized_network
from keras_tickets.models.convolution import Convolution
from keras_tickets.models.residual import check_image_shape
from keras_tickets.models.widths import scaled


def _wide_resnet(depth: int, factor: int, weights: int) -> NormalizedNetwork:
    """Returns a maker of networks, given the depth and how much wider the stages are."""
    name, blocks = f"wrn{depth}_{factor}", (depth - 4) // 6

    def build(input_shape, classes, width, convolution):
        channels = [16, *(factor * size for size in (16, 32, 64))]
        check_image_shape(input_shape)
        inputs = keras.Input(input_shape, name="image")
        stem, *stages = scaled(channels, width)
        x = convolution.alone(inputs, stem, "conv1")
        for stage, filters in enumerate(stages, start=1):
            for index in range(1, blocks + 1):
                strides = 2 if stage > 1 and index == 1 else 1
                x = _block(convolution, x, filters, strides, f"stage{stage}_block{index}")
        x = layers.ReLU(name="relu")(convolution.normalized(x, "norm"))
        return keras.Model(inputs, convolution.logits(x, classes), name=name)

    return normalized_network(
        build,
        name,
        module=__name__,
        summary=f"WRN-{depth}-{factor}: three stages of {blocks} residual blocks, {factor} times "
        "as wide as a ResNet's.",
        details="Batch normalization and ReLU come before each convolution. Where the number of "
        "channels\nchanges, the shortcut is a 1x1 convolution of what they give. There is no "
        "dropout.",
        weights=weights,
        kernel_paths="`conv1/kernel`, `stage1_block1_conv1/kernel` to\n"
        f"    `stage3_block{blocks}_conv2/kernel`, `stage1_block1_shortcut/kernel` and so on for "
        "each stage,\n    `logits/kernel`",
        references='Zagoruyko and Komodakis, "Wide Residual Networks", BMVC 2016 (arXiv '
        '1605.07146).\n    Evci et al., "Rigging the Lottery" (arXiv 1911.11134), section 4.3.',
    )


def _block(
    convolution: Convolution, inputs: keras.KerasTensor, filters: int, strides: int, name: str
) -> keras.KerasTensor:
    """Two 3x3 convolutions of normalized inputs, with a shortcut; the first has the stride."""
    active = layers.ReLU(name=f"{name}_relu1")(convolution.normalized(inputs, f"{name}_norm1"))
    shortcut = inputs
    if inputs.shape[-1] != filters:
        shortcut = convolution.alone(active, filters, f"{name}_shortcut", 1, strides)
    x = convolution(active, filters, f"{name}_conv1", strides=strides)
    x = convolution.alone(layers.ReLU(name=f"{name}_relu2")(x), filters, f"{name}_conv2")
    return layers.Add(name=f"{name}_add")([x, shortcut])


wrn22_2 = _wide_resnet(22, 2, weights=1_076_912)
