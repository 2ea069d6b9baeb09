"""ResNet-50, for ImageNet and for CIFAR."""

import keras
from keras import layers

from keras_tickets._checks import check_one_of
from keras_tickets.models.convolution import Convolution
from keras_tickets.models.initialization import Initializer
from keras_tickets.models.residual import bottleneck_block, check_image_shape, residual_stages
from keras_tickets.models.widths import scaled

STEMS = ("imagenet", "cifar")


def resnet50(
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 1000,
    *,
    stem: str = "imagenet",
    width: float = 1.0,
    fused_batch_norm: bool = True,
    kernel_initializer: Initializer = "he_normal",
    gamma_initializer: Initializer = "ones",
    seed: int | None = None,
) -> keras.Model:
    """ResNet-50: a 7x7 stem, then 3, 4, 6 and 3 bottleneck blocks; 25,502,912 weights in kernels.

    The stride of a block is in its 3x3 convolution, as in the code of the papers on sparse training
    and on lottery tickets; in `keras.applications.ResNet50` it is in the first 1x1 convolution, and
    convolutions have biases. Batch normalization uses momentum 0.9.

    With `stem="cifar"` the first convolution is 3x3 with stride 1, and no pooling follows it:
    23,652,032 weights in kernels for 100 classes.

    Args:
        input_shape: (height, width, channels) of one image.
        classes: Number of output units.
        stem: "imagenet", or "cifar" for images of about 32x32 pixels.
        width: Factor for the number of channels, each rounded, at least 1.
        fused_batch_norm: Whether to use `kt.layers.FusedBatchNormalization`, which computes the
            same as Keras's layer in less time. False: `keras.layers.BatchNormalization`.
        kernel_initializer: Keras initializer of every kernel; the output bias starts at zero.
        gamma_initializer: Keras initializer of the scales of batch normalization. Lottery-ticket
            studies draw them uniformly: `keras.initializers.RandomUniform(0, 1)`.
        seed: Makes the initial weights a function of this integer alone. None: Keras's global seed.

    Returns:
        A built `keras.Model` from (batch, *input_shape) to logits of shape (batch, classes).
        Kernel paths: `conv1/kernel`, `stage1_block1_conv1/kernel` to `stage4_block3_conv3/kernel`,
        `stage1_block1_shortcut/kernel` and so on for each stage, `logits/kernel`.

    Raises:
        ValueError: `input_shape` is not the shape of an image, `stem` is unknown, or `width` is not
            positive.

    Example:

    ```python
    import keras_tickets as kt

    small = kt.models.resnet50((64, 64, 3), classes=10, width=0.125)
    assert small.output_shape == (None, 10)
    ```

    References:
        He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, table 1.
        Goyal et al., "Accurate, Large Minibatch SGD", 2017 (arXiv 1706.02677), section 5.1, on
        which convolution has the stride.
        Sundar and Dwaraknath, "[Reproducibility Report] Rigging the Lottery", 2021 (arXiv
        2103.15767), on the stem for CIFAR.
    """
    check_image_shape(input_shape)
    check_one_of("stem", stem, STEMS)
    convolution = Convolution(fused_batch_norm, kernel_initializer, gamma_initializer, seed)
    channels = scaled((64, 128, 256, 512), width)
    inputs = keras.Input(input_shape, name="image")
    size, strides = (7, 2) if stem == "imagenet" else (3, 1)
    x = convolution(inputs, channels[0], "conv1", size, strides)
    x = layers.ReLU(name="conv1_relu")(x)
    if stem == "imagenet":
        x = layers.MaxPooling2D(3, 2, padding="same", name="conv1_pool")(x)
    x = residual_stages(bottleneck_block, convolution, x, channels, (3, 4, 6, 3))
    return keras.Model(inputs, convolution.logits(x, classes), name="resnet50")
