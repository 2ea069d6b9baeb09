"""ResNet-83 and ResNet-164, residual networks of bottleneck blocks for CIFAR-sized images."""

from keras_tickets.models._normalized import NormalizedNetwork, normalized_network
from keras_tickets.models.residual import bottleneck_block, cifar_network


def _bottleneck(depth: int, said: int, weights: int) -> NormalizedNetwork:
    """Returns the network that the paper on tickets from soft labels calls ResNet-`said`."""
    blocks, name = (depth - 2) // 9, f"resnet{depth}_bottleneck"

    def build(input_shape, classes, width, convolution):
        return cifar_network(
            name, bottleneck_block, blocks, input_shape, classes, width, convolution
        )

    return normalized_network(
        build,
        name,
        module=__name__,
        summary=f"ResNet-{depth}: three stages of {blocks} bottleneck blocks with 16, 32 and 64 "
        "channels inside.",
        details=f"The code of the paper on tickets from soft labels builds it where it says "
        f"ResNet-{said}; the\nstandard network of that name is `resnet{said}`. The 3x3 convolution "
        "of a block has the strides.",
        weights=weights,
        kernel_paths="`conv1/kernel`, `stage1_block1_conv1/kernel` to\n"
        f"    `stage3_block{blocks}_conv3/kernel`, `stage1_block1_shortcut/kernel` and so on for "
        "each stage,\n    `logits/kernel`",
        references='He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, figure '
        '5.\n    Ma et al., "Good Students Play Big Lottery Better", 2021 (arXiv 2101.03255v2).',
    )


resnet83_bottleneck = _bottleneck(83, said=56, weights=856_496)
resnet164_bottleneck = _bottleneck(164, said=110, weights=1_679_024)
