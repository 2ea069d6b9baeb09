"""Each family of layers, with dead channels in front of it and behind it."""

import keras
import numpy as np
import pytest
from keras import layers
from test_compact import assert_same_outputs, kill, randomize, reasons, sizes

from keras_tickets.compact import compact

# For each: what stands between two convolutions, and whether constants other than 0 pass it.
BETWEEN = {
    "batch_normalization": (lambda x: layers.BatchNormalization(name="norm")(x), True),
    "prelu": (lambda x: layers.PReLU(shared_axes=[1, 2])(x), True),
    "activation": (lambda x: layers.Activation("gelu")(x), True),
    "leaky_relu": (lambda x: layers.LeakyReLU(0.1)(x), True),
    "operation": (lambda x: keras.ops.relu(x), True),
    "max_pooling": (lambda x: layers.MaxPooling2D(2, padding="same")(x), True),
    "average_pooling": (lambda x: layers.AveragePooling2D(3, 1, padding="same")(x), True),
    "upsampling": (lambda x: layers.UpSampling2D(2, interpolation="bilinear")(x), True),
    "cropping": (lambda x: layers.Cropping2D(1)(x), True),
    "dropout": (lambda x: layers.SpatialDropout2D(0.5)(layers.Dropout(0.5)(x)), True),
    "reshape": (lambda x: layers.Reshape((-1, 3, 5))(x), True),
    "zero_padding": (lambda x: layers.ZeroPadding2D(1)(x), False),
    "depthwise": (lambda x: layers.DepthwiseConv2D(3, depth_multiplier=2, name="dw")(x), True),
    "depthwise_same": (lambda x: layers.DepthwiseConv2D(3, padding="same", name="dw")(x), False),
    "squeeze_excite": (
        lambda x: layers.Multiply()(
            [x, layers.Activation("sigmoid")(layers.GlobalAveragePooling2D(keepdims=True)(x))]
        ),
        True,
    ),
    "plus": (lambda x: x + layers.Activation("tanh")(x), True),
    "maximum": (lambda x: layers.Maximum()([x, layers.Activation("tanh")(x)]), True),
    "average": (lambda x: layers.Average()([x, layers.ReLU()(x)]), True),
    "subtract": (lambda x: layers.Subtract()([x, layers.ReLU()(x)]), True),
    "concatenate": (lambda x: layers.Concatenate()([x, layers.ReLU()(x), x]), True),
}


@pytest.mark.parametrize("name", BETWEEN)
def test_channels_go_through(name):
    between, passes = BETWEEN[name]
    inputs = keras.Input((6, 6, 2))
    x = layers.Conv2D(5, 1, name="a")(inputs)
    model = randomize(keras.Model(inputs, layers.Conv2D(3, 1, name="b")(between(x))))
    kill(model.get_layer("a"), [0], bias=0.0)
    kill(model.get_layer("a"), [3], bias=0.8)
    smaller = compact(model)
    goes = 2 if passes else 1
    assert sizes(smaller)["a"] == 5 - goes
    assert len(reasons(model)) == (0 if passes else 1)
    assert_same_outputs(model, smaller)


READERS = {
    "dense": (lambda: layers.Dense(4, name="b"), (6, 6, 2), True),
    "conv1d_causal": (lambda: layers.Conv1D(4, 3, padding="causal", name="b"), (9, 2), False),
    "conv1d_strided": (lambda: layers.Conv1D(4, 3, strides=2, name="b"), (9, 2), True),
    "conv2d_dilated": (lambda: layers.Conv2D(4, 2, dilation_rate=2, name="b"), (6, 6, 2), True),
    "conv2d_1x1_same": (
        lambda: layers.Conv2D(4, 1, strides=2, padding="same", name="b"),
        (6, 6, 2),
        True,
    ),
    "conv3d": (lambda: layers.Conv3D(4, 2, name="b"), (4, 4, 4, 2), True),
    "transposed": (lambda: layers.Conv2DTranspose(4, 3, strides=2, name="b"), (6, 6, 2), False),
    "separable": (
        lambda: layers.SeparableConv2D(4, 3, depth_multiplier=2, name="b"),
        (6, 6, 2),
        True,
    ),
    "separable_same": (
        lambda: layers.SeparableConv1D(4, 3, padding="same", name="b"),
        (9, 2),
        False,
    ),
}


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("name", READERS)
def test_constants_are_folded_into(name, use_bias):
    make, shape, folds = READERS[name]
    inputs = keras.Input(shape)
    x = layers.Dense(5, name="a")(inputs)
    reader = make()
    reader = type(reader).from_config({**reader.get_config(), "use_bias": use_bias})
    outputs = layers.Dense(2, name="c")(layers.Activation("tanh")(reader(x)))
    model = randomize(keras.Model(inputs, outputs))
    kill(model.get_layer("a"), [0], bias=0.0)
    kill(model.get_layer("a"), [3], bias=0.8)
    dead = model.get_layer("c").kernel.numpy()
    dead[1] = 0
    model.get_layer("c").kernel.assign(dead)
    smaller = compact(model)
    assert sizes(smaller)["a"] == 5 - (2 if folds else 1)
    assert smaller.get_layer("b").get_config().get("filters", 3) == 3
    assert smaller.get_layer("c").kernel.shape == (3, 2)
    assert smaller.get_layer("b").use_bias == (use_bias or folds)
    assert len(reasons(model)) == (0 if folds else 1)
    assert_same_outputs(model, smaller)


def test_channels_stay_together_through_flatten():
    inputs = keras.Input((4, 3, 2))
    x = layers.Flatten()(layers.Conv2D(5, 2, name="a", activation="relu")(inputs))
    model = randomize(keras.Model(inputs, layers.Dense(3, name="b")(x)))
    kill(model.get_layer("a"), [1], bias=0.5)
    kernel = model.get_layer("b").kernel.numpy().reshape(6, 5, 3)
    kernel[:, 2] = 0
    kernel[:5, 3] = 0
    model.get_layer("b").kernel.assign(kernel.reshape(30, 3))
    smaller = compact(model)
    assert sizes(smaller) == {"a": 3, "b": 3} and smaller.get_layer("b").kernel.shape == (18, 3)
    assert_same_outputs(model, smaller)


def test_a_channel_that_batch_normalization_ignores_is_dead():
    inputs = keras.Input((6, 6, 2))
    x = layers.Conv2D(4, 3, name="a")(inputs)
    x = layers.BatchNormalization(name="norm")(x)
    model = randomize(keras.Model(inputs, layers.Conv2D(2, 1, name="b")(x)))
    gamma = model.get_layer("norm").gamma.numpy()
    gamma[2] = 0
    model.get_layer("norm").gamma.assign(gamma)
    smaller = compact(model)
    assert sizes(smaller) == {"a": 3, "b": 2}
    assert smaller.get_layer("norm").moving_mean.shape == (3,)
    assert_same_outputs(model, smaller)


UNKNOWN = {
    "layer_normalization": (lambda: layers.LayerNormalization(name="u"), "cannot be taken apart"),
    "softmax": (lambda: layers.Activation("softmax", name="u"), "its activation may join channels"),
    "grouped": (lambda: layers.Conv1D(4, 1, groups=2, name="u"), "a grouped convolution"),
    "spatial_concatenation": (lambda: Twice(layers.Concatenate(axis=1, name="u")), "its axis"),
    "permute": (lambda: layers.Permute((2, 1), name="u"), "Permute cannot be taken apart"),
}


class Twice:
    def __init__(self, layer):
        self.layer = layer

    def __call__(self, x):
        return self.layer([x, x])


@pytest.mark.parametrize("name", UNKNOWN)
def test_around_other_layers_all_channels_stay_and_the_report_says_why(name):
    make, reason = UNKNOWN[name]
    inputs = keras.Input((6, 3))
    x = layers.Dense(4, name="a")(inputs)
    x = layers.Dense(4, name="b")(make()(x))
    model = randomize(keras.Model(inputs, x))
    kill(model.get_layer("a"), [1], bias=0.5)
    (entry,) = reasons(model)
    assert entry[0] == "u" and entry[1] in (1, 2) and reason in entry[2]
    smaller = compact(model)
    assert smaller.count_params() == model.count_params()
    assert_same_outputs(model, smaller)


def test_an_activation_that_joins_channels_keeps_them_but_not_what_it_reads():
    inputs = keras.Input((3,))
    x = layers.Dense(4, name="a")(inputs)
    x = layers.Dense(4, "softmax", name="b")(x)
    model = randomize(keras.Model(inputs, layers.Dense(2, name="c")(x)))
    kill(model.get_layer("a"), [1], bias=0.5)
    kill(model.get_layer("b"), [1], bias=0.5)
    assert sizes(compact(model)) == {"a": 3, "b": 4, "c": 2}
    assert_same_outputs(model, compact(model))


def test_batch_normalization_called_for_training_stays():
    inputs = keras.Input((3,))
    x = layers.Dense(4, name="a")(inputs)
    x = layers.BatchNormalization(name="norm")(x, training=True)
    model = randomize(keras.Model(inputs, layers.Dense(2, name="c")(x)))
    kill(model.get_layer("a"), [1], bias=0.5)
    assert reasons(model) == {("norm", 1, "called with training=True")}
    assert sizes(compact(model)) == sizes(model)


def test_mixed_precision():
    inputs = keras.Input((6, 6, 2))
    x = layers.Conv2D(5, 3, name="a", dtype="mixed_float16")(inputs)
    x = layers.ReLU(dtype="mixed_float16")(x)
    x = layers.Flatten()(layers.Conv2D(4, 3, name="b", dtype="mixed_float16")(x))
    model = randomize(keras.Model(inputs, layers.Dense(2, dtype="float32")(x)))
    kill(model.get_layer("a"), [1, 2], bias=0.5)
    smaller = compact(model)
    assert sizes(smaller)["a"] == 3 and smaller.get_layer("a").kernel.dtype == "float32"
    assert smaller.get_layer("a").compute_dtype == "float16"
    assert_same_outputs(model, smaller, tolerance=1e-2)
    assert np.asarray(smaller(np.zeros((1, 6, 6, 2), "float32"))).dtype == np.float32
