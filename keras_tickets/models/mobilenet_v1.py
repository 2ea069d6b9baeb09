"""MobileNet, version 1."""

import dataclasses

import keras
from keras import layers

from keras_tickets.models._normalized import IMAGENET, normalized_network
from keras_tickets.models.residual import check_image_shape
from keras_tickets.models.widths import scaled

# Output channels and stride of each block, as in table 1 of the paper.
BLOCKS = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    *5 * [(512, 1)],
    (1024, 2),
    (1024, 1),
)


def _build(input_shape, classes, width, convolution):
    check_image_shape(input_shape)
    convolution = dataclasses.replace(convolution, padding="symmetric")
    stem, *widths = scaled((32, *(channels for channels, _ in BLOCKS)), width)
    inputs = keras.Input(input_shape, name="image")
    x = layers.ReLU(name="conv1_relu")(convolution(inputs, stem, "conv1", strides=2))
    for index, (filters, (_, strides)) in enumerate(zip(widths, BLOCKS, strict=True), start=1):
        name = f"block{index}_depthwise"
        x = layers.ReLU(name=f"{name}_relu")(convolution.depthwise(x, name, strides))
        name = f"block{index}_pointwise"
        x = layers.ReLU(name=f"{name}_relu")(convolution(x, filters, name, size=1))
    return keras.Model(inputs, convolution.logits(x, classes), name="mobilenet_v1")


mobilenet_v1 = normalized_network(
    _build,
    "mobilenet_v1",
    module=__name__,
    summary="MobileNet: 13 blocks of a depthwise and a 1x1 convolution.",
    details="""\
With more than 2/3 of zeros in the 1x1 convolutions, its LiteRT file runs sparse on ARM and in
browsers: convolutions with a stride have zeros on all four sides (`ZeroPadding2D(1)`), while
those of `keras.applications.MobileNet` have them only below and to the right. Depthwise
kernels, 44,640 of the weights, stay dense in `kt.sparsify` unless `filters` asks for them.
""",
    weights=4_209_088,
    kernel_paths="""`conv1/kernel`, `block1_depthwise/kernel`, `block1_pointwise/kernel` to
    `block13_pointwise/kernel`, `logits/kernel`""",
    references="""Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile
    Vision Applications", 2017 (arXiv 1704.04861), table 1.
    Elsen et al., "Fast Sparse ConvNets", CVPR 2020 (arXiv 1911.09723), on its sparse kernels.""",
    limit="; on ARM and in browsers only networks with\n        3 channels run sparse",
    images=IMAGENET,
)
