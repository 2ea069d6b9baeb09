"""Small networks with 1x1 convolutions, for tests of what runs sparse on ARM."""

import keras
import tensorflow as tf
from keras import layers

INITIAL = {"kernel_initializer": "he_normal"}


def image(size=32):
    """The input of all of them."""
    return keras.Input((size, size, 3), name="image")


def stem(x, size=3, strides=2, padding=1, filters=16):
    """The first convolution, as it must be unless arguments say otherwise."""
    x = layers.ZeroPadding2D(padding, name="stem_pad")(x)
    return layers.Conv2D(filters, size, strides, activation="relu", name="stem", **INITIAL)(x)


def depthwise(x, name="depthwise", strides=2, size=3, same=False, **options):
    """A depthwise convolution."""
    if strides == 2 and not same:
        x = layers.ZeroPadding2D(size // 2, name=f"{name}_pad")(x)
    padding = "valid" if strides == 2 and not same else "same"
    return layers.DepthwiseConv2D(
        size,
        strides,
        padding,
        activation="relu",
        depthwise_initializer=keras.initializers.RandomNormal(stddev=0.5),
        name=name,
        **options,
    )(x)


def pointwise(x, filters=64, name="pointwise", activation="relu", **options):
    """A 1x1 convolution."""
    return layers.Conv2D(filters, 1, activation=activation, name=name, **INITIAL, **options)(x)


def ended(inputs, x):
    """A model that ends in a global mean, a 1x1 convolution before it."""
    x = pointwise(x, 64, "last")
    return keras.Model(inputs, layers.Dense(10, name="logits")(layers.GlobalAveragePooling2D()(x)))


def conforming(size=32):
    """All conditions are met, if the size is even."""
    inputs = image(size)
    return ended(inputs, pointwise(depthwise(stem(inputs))))


def squeeze_and_excite():
    """Channels scaled by what a global mean says, which conforms, and a residual connection."""
    inputs = image()
    x = pointwise(stem(inputs))
    scale = layers.GlobalAveragePooling2D(keepdims=True, name="squeeze")(x)
    scale = pointwise(scale, 64, "excite", activation="sigmoid")
    scaled = layers.Multiply(name="scale")([x, scale])
    return ended(inputs, layers.Add(name="residual")([x, scaled]))


def between(layer):
    """A layer between two 1x1 convolutions."""
    inputs = image()
    return ended(inputs, layer(pointwise(depthwise(stem(inputs)))))


def concatenated():
    """A concatenation between 1x1 convolutions."""
    inputs = image()
    x = pointwise(depthwise(stem(inputs)))
    x = layers.Concatenate(name="both")([pointwise(x, 64, "left"), pointwise(x, 32, "right")])
    return ended(inputs, x)


def flattened():
    """The end is a flattened image."""
    inputs = image()
    x = layers.Flatten(name="flat")(pointwise(depthwise(stem(inputs))))
    return keras.Model(inputs, layers.Dense(10, name="logits")(x))


def returned():
    """Also returns the values before the last convolution."""
    inputs = image()
    x = pointwise(depthwise(stem(inputs)))
    return keras.Model(inputs, [ended(inputs, x).output, x])


def two_heads():
    """The same values go to a global mean and, through a 1x1 convolution, to a flattened image."""
    inputs = image()
    x = pointwise(depthwise(stem(inputs)))
    mean = layers.GlobalAveragePooling2D()(pointwise(x, 64, "last"))
    flat = layers.Flatten(name="flat")(pointwise(x, 8, "few"))
    return keras.Model(inputs, layers.Dense(10)(layers.Concatenate()([mean, flat])))


def classified_by_convolution():
    """A 1x1 convolution computes the classes from a global mean, as in MobileNet of 2017."""
    inputs = image()
    x = pointwise(pointwise(depthwise(stem(inputs))), 64, "last")
    x = layers.GlobalAveragePooling2D(keepdims=True)(x)
    return keras.Model(inputs, layers.Flatten()(pointwise(x, 10, "classes", activation=None)))


def kept_axes():
    """A dense layer reads a global mean with height and width."""
    inputs = image()
    x = pointwise(pointwise(depthwise(stem(inputs))), 64, "last")
    x = layers.GlobalAveragePooling2D(keepdims=True)(x)
    return keras.Model(inputs, layers.Flatten()(layers.Dense(10, name="logits")(x)))


def mean_over_height():
    """The end is a mean over one axis."""
    inputs = image()
    x = pointwise(depthwise(stem(inputs)))
    x = layers.Flatten()(keras.ops.mean(pointwise(x, 64, "last"), axis=1))
    return keras.Model(inputs, layers.Dense(10, name="logits")(x))


class DepthToSpace(layers.Layer):
    """Channels become 2x2 images."""

    def call(self, x):
        return tf.nn.depth_to_space(x, 2)
