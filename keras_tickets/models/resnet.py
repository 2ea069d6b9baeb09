"""ResNet-20, -32, -44, -56 and -110, the residual networks for CIFAR-sized images."""

from keras_tickets.models._normalized import NormalizedNetwork, normalized_network
from keras_tickets.models.residual import basic_block, cifar_network


def _resnet(depth: int, weights: int) -> NormalizedNetwork:
    blocks, name = (depth - 2) // 6, f"resnet{depth}"

    def build(input_shape, classes, width, convolution):
        return cifar_network(name, basic_block, blocks, input_shape, classes, width, convolution)

    return normalized_network(
        build,
        name,
        module=__name__,
        summary=f"ResNet-{depth}: three stages of {blocks} residual blocks with 16, 32 and 64 "
        "channels.",
        details="Where the number of channels changes, the shortcut is a 1x1 convolution followed "
        "by batch\nnormalization.",
        weights=weights,
        kernel_paths="`conv1/kernel`, `stage1_block1_conv1/kernel` to\n"
        f"    `stage3_block{blocks}_conv2/kernel`, `stage2_block1_shortcut/kernel`,\n"
        "    `stage3_block1_shortcut/kernel`, `logits/kernel`",
        references='He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section '
        "4.2.",
    )


resnet20 = _resnet(20, weights=270_896)
resnet32 = _resnet(32, weights=464_432)
resnet44 = _resnet(44, weights=657_968)
resnet56 = _resnet(56, weights=851_504)
resnet110 = _resnet(110, weights=1_722_416)
