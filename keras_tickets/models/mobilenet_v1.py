"""MobileNet, version 1."""

import keras
from keras import layers

from keras_tickets.models.convolution import Convolution
from keras_tickets.models.initialization import Initializer
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


def mobilenet_v1(
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 1000,
    *,
    width: float = 1.0,
    fused_batch_norm: bool = True,
    kernel_initializer: Initializer = "he_normal",
    gamma_initializer: Initializer = "ones",
    seed: int | None = None,
) -> keras.Model:
    """MobileNet: 13 blocks of a depthwise and a 1x1 convolution; 4,209,088 weights in kernels.

    With more than 2/3 of zeros in the 1x1 convolutions, its LiteRT file runs sparse on ARM and in
    browsers: convolutions with a stride have zeros on all four sides (`ZeroPadding2D(1)`), while
    those of `keras.applications.MobileNet` have them only below and to the right. Depthwise
    kernels, 44,640 of the weights, stay dense in `kt.sparsify` unless `filters` asks for them.
    Batch normalization averages with momentum 0.9.

    Args:
        input_shape: (height, width, channels) of one image; on ARM and in browsers only networks
            with 3 channels run sparse.
        classes: Number of output units.
        width: Factor for the number of channels, each rounded, at least 1.
        fused_batch_norm: Whether to use `kt.layers.FusedBatchNormalization`, which computes the
            same as Keras's layer in less time. False: `keras.layers.BatchNormalization`.
        kernel_initializer: Keras initializer of every kernel; the output bias starts at zero.
        gamma_initializer: Keras initializer of the scales of batch normalization. Lottery-ticket
            studies draw them uniformly: `keras.initializers.RandomUniform(0, 1)`.
        seed: Makes the initial weights a function of this integer alone. None: Keras's global seed.

    Returns:
        A built `keras.Model` from (batch, *input_shape) to logits of shape (batch, classes).
        Kernel paths: `conv1/kernel`, `block1_depthwise/kernel`, `block1_pointwise/kernel` to
        `block13_pointwise/kernel`, `logits/kernel`.

    Raises:
        ValueError: `input_shape` is not the shape of an image, or `width` is not positive.

    Example:

    ```python
    import keras_tickets as kt

    small = kt.models.mobilenet_v1((32, 32, 3), classes=10, width=0.25)
    assert small.output_shape == (None, 10)
    ```

    References:
        Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision
        Applications", 2017 (arXiv 1704.04861), table 1.
        Elsen et al., "Fast Sparse ConvNets", CVPR 2020 (arXiv 1911.09723), on its sparse kernels.
    """
    check_image_shape(input_shape)
    convolution = Convolution(
        fused_batch_norm, kernel_initializer, gamma_initializer, seed, padding="symmetric"
    )
    stem, *widths = scaled((32, *(channels for channels, _ in BLOCKS)), width)
    inputs = keras.Input(input_shape, name="image")
    x = layers.ReLU(name="conv1_relu")(convolution(inputs, stem, "conv1", strides=2))
    for index, (filters, (_, strides)) in enumerate(zip(widths, BLOCKS, strict=True), start=1):
        name = f"block{index}_depthwise"
        x = layers.ReLU(name=f"{name}_relu")(convolution.depthwise(x, name, strides))
        name = f"block{index}_pointwise"
        x = layers.ReLU(name=f"{name}_relu")(convolution(x, filters, name, size=1))
    return keras.Model(inputs, convolution.logits(x, classes), name="mobilenet_v1")
