"""`sparsify` warns of random masks where weights are trained, and only there."""

import warnings

import keras
import numpy as np
import pytest
from keras import initializers, layers
from networks import LOSS, labeled, mlp

import keras_tickets as kt

INITIALIZERS = [
    "glorot_uniform",
    "glorot_normal",
    "he_normal",
    "he_uniform",
    "lecun_normal",
    "lecun_uniform",
    "zeros",
    initializers.Constant(0.3),
    initializers.Orthogonal(2.0),
    initializers.RandomNormal(1.0, 0.2),
    initializers.RandomUniform(1.0, 2.0),
    initializers.TruncatedNormal(-1.0, 0.5),
    initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal"),
    kt.initializers.SparseVarianceScaling(),
    lambda shape, dtype=None: keras.random.normal(shape, 5.0, 7.0, dtype=dtype),
]


def looks_trained(model, filters=None):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        kt.sparsify(model, 0.3, filters=filters, in_place=True)
    return any("looks trained" in str(warning.message) for warning in caught)


def image_model(initializer):
    return [
        keras.Input((6, 6, 8)),
        layers.Conv2D(16, 3, kernel_initializer=initializer),
        layers.BatchNormalization(),
        layers.Conv2DTranspose(7, 3, kernel_initializer=initializer),
        layers.SeparableConv2D(9, 2, pointwise_initializer=initializer),
        layers.PReLU(),
        layers.GlobalAveragePooling2D(),
        layers.Dense(33, kernel_initializer=initializer, dtype="float16"),
    ]


@pytest.mark.parametrize("initializer", INITIALIZERS)
def test_a_fresh_model_does_not_look_trained(initializer):
    assert not looks_trained(keras.Sequential(image_model(initializer)))


def adapted():
    layer = layers.Normalization()
    layer.adapt(np.random.default_rng(0).normal(3, 2, (99, 16)))
    return layer


def sequence_model():
    ids = keras.Input((6,), dtype="int32")
    floats = keras.Input((16,))
    x = layers.Embedding(50, 16, name="embedding")(ids)
    x = layers.MultiHeadAttention(4, 8)(x, x)
    x = layers.EinsumDense("abc,cde->abde", (None, 4, 16), bias_axes="de")(x)
    x = layers.Bidirectional(layers.LSTM(12, return_sequences=True))(layers.Reshape((6, 64))(x))
    x = layers.RMSNormalization(name="rms")(layers.GRU(16, name="gru")(x))
    y = layers.Dense(16, kernel_initializer="identity", bias_initializer="normal")(floats)
    return keras.Model([ids, floats], layers.Add()([x, layers.LayerNormalization()(y)]))


def test_fresh_layers_of_other_kinds_do_not_look_trained():
    assert not looks_trained(sequence_model())
    assert not looks_trained(keras.Sequential([keras.Input((16,)), adapted(), layers.Dense(99)]))


@pytest.mark.parametrize("make", [kt.models.lenet_300_100, kt.models.conv2, kt.models.resnet20])
def test_our_networks_do_not_look_trained(make):
    assert not looks_trained(make((32, 32, 3)))


def change(variable, factor=1.0, shift=0.0):
    variable.assign(variable * factor + shift)


CHANGES = {
    "bias": lambda model: change(model.layers[0].bias, shift=1e-3),
    "gamma": lambda model: change(model.layers[1].gamma, 1.001),
    "beta": lambda model: change(model.layers[1].beta, shift=1e-3),
    "moving mean": lambda model: change(model.layers[1].moving_mean, shift=1e-3),
    "moving variance": lambda model: change(model.layers[1].moving_variance, 1.001),
    "slopes": lambda model: change(model.layers[4].alpha, shift=0.1),
    "kernel beyond its bounds": lambda model: change(model.layers[6].kernel, 1.3),
    "kernel too small": lambda model: change(model.layers[0].kernel, 0.5),
    "kernel with another mean": lambda model: change(model.layers[2].kernel, 0.6, 0.06),
    "pointwise kernel": lambda model: change(model.layers[3].pointwise_kernel, 2.0),
}


@pytest.mark.parametrize("changed", CHANGES)
def test_weights_that_left_their_initial_values_look_trained(changed):
    model = keras.Sequential(image_model("glorot_uniform"))
    CHANGES[changed](model)
    assert looks_trained(model)


def test_other_layers_that_look_trained():
    for weight in ("rms/scale", "gru/gru_cell/recurrent_kernel"):
        model = sequence_model()
        change(kt.weight_paths(model)[weight], 2.0)
        assert looks_trained(model), weight


def test_training_alone_is_noticed_without_biases_and_statistics():
    model = mlp(10, (64, 64), use_bias=False)
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), LOSS)
    model.fit(*labeled(256), epochs=4, verbose=0)
    loaded = mlp(10, (64, 64), use_bias=False)
    loaded.set_weights(model.get_weights())
    assert looks_trained(loaded)


def test_frozen_layers_and_embeddings_that_stay_dense_are_not_considered():
    model = keras.Sequential(image_model("glorot_uniform"))
    for layer in model.layers[:-1]:
        for weight in layer.weights:
            change(weight, 3.0, 0.5)
        layer.trainable = False
    assert not looks_trained(model)
    for filters in (None, "embedding"):
        model = sequence_model()
        change(model.get_layer("embedding").embeddings, 10.0)
        assert looks_trained(model, filters) == (filters is not None)


def test_a_fresh_model_that_was_pruned_does_not_look_trained():
    fresh = keras.Sequential(image_model(initializers.RandomUniform(1.0, 2.0)))
    assert not looks_trained(kt.strip(kt.sparsify(fresh, 0.9, mask="random")))
