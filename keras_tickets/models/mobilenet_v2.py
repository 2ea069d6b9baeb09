"""MobileNet, version 2."""

import keras
from keras import layers

from keras_tickets.models.convolution import Convolution
from keras_tickets.models.initialization import Initializer
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


def mobilenet_v2(
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 1000,
    *,
    width: float = 1.0,
    fused_batch_norm: bool = True,
    kernel_initializer: Initializer = "he_normal",
    gamma_initializer: Initializer = "ones",
    seed: int | None = None,
) -> keras.Model:
    """MobileNetV2: 17 inverted residual blocks; 3,469,760 weights in kernels.

    With more than 2/3 of zeros in the 1x1 convolutions, its LiteRT file runs sparse on ARM and in
    browsers: convolutions with a stride have zeros on all four sides (`ZeroPadding2D(1)`), while
    those of `keras.applications.MobileNetV2` have them only below and to the right. Depthwise
    kernels, 64,224 of the weights, stay dense in `kt.sparsify` unless `filters` asks for them.
    Batch normalization averages with momentum 0.9.

    Args:
        input_shape: (height, width, channels) of one image; on ARM and in browsers only networks
            with 3 channels run sparse.
        classes: Number of output units.
        width: Factor for the number of channels, each rounded, at least 1; also for
            the last convolution, which the paper never makes narrower than 1280 channels.
        fused_batch_norm: Whether to use `kt.layers.FusedBatchNormalization`, which computes the
            same as Keras's layer in less time. False: `keras.layers.BatchNormalization`.
        kernel_initializer: Keras initializer of every kernel; the output bias starts at zero.
        gamma_initializer: Keras initializer of the scales of batch normalization. Lottery-ticket
            studies draw them uniformly: `keras.initializers.RandomUniform(0, 1)`.
        seed: Makes the initial weights a function of this integer alone. None: Keras's global seed.

    Returns:
        A built `keras.Model` from (batch, *input_shape) to logits of shape (batch, classes).
        Kernel paths: `conv1/kernel`, `block1_depthwise/kernel`, `block1_project/kernel`,
        `block2_expand/kernel` to `block17_project/kernel`, `conv2/kernel`, `logits/kernel`.

    Raises:
        ValueError: `input_shape` is not the shape of an image, or `width` is not positive.

    Example:

    ```python
    import keras_tickets as kt

    small = kt.models.mobilenet_v2((32, 32, 3), classes=10, width=0.25)
    assert small.output_shape == (None, 10)
    ```

    References:
        Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018 (arXiv
        1801.04381), table 2.
        Elsen et al., "Fast Sparse ConvNets", CVPR 2020 (arXiv 1911.09723), on its sparse kernels.
    """
    check_image_shape(input_shape)
    convolution = Convolution(
        fused_batch_norm, kernel_initializer, gamma_initializer, seed, padding="symmetric"
    )
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
