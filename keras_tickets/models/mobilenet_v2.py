"""MobileNet, version 2."""

import dataclasses

import keras
from keras import layers

from keras_tickets.models._normalized import IMAGENET, normalized_network
from keras_tickets.models.residual import check_image_shape
from keras_tickets.models.widths import scaled

# Expansion, output channels, number of blocks and stride of the first one of each stage, as in
# table 2 of the paper.
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
FIRST, LAST = 32, 1280


def _build(input_shape, classes, width, convolution):
    check_image_shape(input_shape)
    convolution = dataclasses.replace(convolution, padding="symmetric")
    first, last, *widths = scaled((FIRST, LAST, *(stage[1] for stage in STAGES)), width)
    inputs = keras.Input(input_shape, name="image")
    x = layers.ReLU(6.0, name="conv1_relu")(convolution(inputs, first, "conv1", strides=2))
    index = 0
    for filters, (expansion, _, blocks, stride) in zip(widths, STAGES, strict=True):
        for strides in (stride, *(blocks - 1) * [1]):
            index += 1
            x = _block(convolution, x, filters, expansion, strides, f"block{index}")
    x = layers.ReLU(6.0, name="conv2_relu")(convolution(x, last, "conv2", size=1))
    return keras.Model(inputs, convolution.logits(x, classes), name="mobilenet_v2")


def _block(convolution, inputs, filters, expansion, strides, name):
    """Expands by a 1x1 convolution, filters each channel and projects to few channels."""
    x = inputs
    if expansion > 1:
        x = convolution(x, expansion * x.shape[-1], f"{name}_expand", size=1)
        x = layers.ReLU(6.0, name=f"{name}_expand_relu")(x)
    x = convolution.depthwise(x, f"{name}_depthwise", strides)
    x = layers.ReLU(6.0, name=f"{name}_depthwise_relu")(x)
    x = convolution(x, filters, f"{name}_project", size=1)
    if strides == 1 and inputs.shape[-1] == filters and expansion > 1:
        x = layers.Add(name=f"{name}_add")([inputs, x])
    return x


mobilenet_v2 = normalized_network(
    _build,
    "mobilenet_v2",
    module=__name__,
    summary="MobileNetV2: 17 inverted residual blocks.",
    details="""\
With more than 2/3 of zeros in the 1x1 convolutions, its LiteRT file runs sparse on ARM and in
browsers: convolutions with a stride have zeros on all four sides (`ZeroPadding2D(1)`), while
those of `keras.applications.MobileNetV2` have them only below and to the right. Depthwise
kernels, 64,224 of the weights, stay dense in `kt.sparsify` unless `filters` asks for them. A
`width` also scales the last convolution, which the paper never makes narrower than 1280 channels.
""",
    weights=3_469_760,
    kernel_paths="""`conv1/kernel`, `block1_depthwise/kernel`, `block1_project/kernel`,
    `block2_expand/kernel` to `block17_project/kernel`, `conv2/kernel`, `logits/kernel`""",
    references="""Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR
    2018 (arXiv 1801.04381), table 2.
    Elsen et al., "Fast Sparse ConvNets", CVPR 2020 (arXiv 1911.09723), on its sparse kernels.""",
    limit="; on ARM and in browsers only networks with\n        3 channels run sparse",
    images=IMAGENET,
)
