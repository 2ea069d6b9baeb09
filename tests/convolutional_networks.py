"""Small networks with 1x1 convolutions, for tests of what runs sparse on ARM."""

import keras
from keras import layers

INITIAL = {"kernel_initializer": "he_normal"}


def image():
    """The input of all of them."""
    return keras.Input((32, 32, 3), name="image")


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


def conforming():
    """All conditions are met."""
    inputs = image()
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
