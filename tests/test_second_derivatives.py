"""Second derivatives, against differences of gradients, where TensorFlow's are silently wrong."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_tickets as kt
from keras_tickets._forward.second_derivatives import twice_differentiable

RNG = np.random.default_rng(0)


def first(function, x):
    with tf.GradientTape() as tape:
        tape.watch(x)
        result = tf.reduce_sum(tf.sin(function(x)))
    return tape.gradient(result, x)


def resized(method):
    """In single precision, whatever the input."""
    return lambda x: tf.cast(tf.image.resize(x, (5, 6), method), x.dtype)


@pytest.mark.parametrize(
    "function, step",
    [
        (keras.layers.LayerNormalization(dtype="float64"), 1e-5),
        (keras.layers.GroupNormalization(2, dtype="float64"), 1e-5),
        (lambda x: tf.concat(keras.ops.moments(x, [1, 2]), 0), 1e-5),
        (resized("bilinear"), 1e-2),
        (resized("bicubic"), 1e-2),
        (keras.activations.softsign, 1e-5),
    ],
)
def test_products_are_differences_of_gradients(function, step):
    x, v = (tf.constant(RNG.normal(size=(2, 3, 4, 4))) for _ in range(2))
    outputs, resize = function(x), tf.image.resize
    with tf.GradientTape() as tape:
        tape.watch(x)
        with twice_differentiable():
            np.testing.assert_array_equal(function(x), outputs)
            slope = tf.reduce_sum(first(function, x) * v)
    assert tf.image.resize is resize
    expected = (first(function, x + step * v) - first(function, x - step * v)) / (2 * step)
    assert tf.norm(tape.gradient(slope, x) - expected) < 1e-3 * tf.norm(expected)


def test_the_hessian_of_a_network_of_embeddings_normalization_and_pixels():
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((4,), dtype="int32"),
            layers.Embedding(5, 4),
            layers.Reshape((2, 2, 4)),
            layers.Conv2D(4, 1),
            layers.LayerNormalization(),
            layers.UpSampling2D(2, interpolation="bilinear"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3),
        ]
    )
    x, y = RNG.integers(0, 5, (12, 4)), np.arange(12) % 3
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    hessian = kt.analysis.Hessian(model, (x, y), loss)
    vector, variables = RNG.normal(size=hessian.size), model.trainable_variables
    parts = np.split(vector, np.cumsum([np.prod(v.shape) for v in variables])[:-1].astype(int))
    start = [v.numpy() for v in variables]

    def gradient(step):
        for variable, value, part in zip(variables, start, parts, strict=True):
            variable.assign(value + step * part.reshape(value.shape))
        with tf.GradientTape() as tape:
            result = loss(y, model(x))
        found = tape.gradient(result, [v.value for v in variables])
        return np.concatenate([tf.convert_to_tensor(g).numpy().reshape(-1) for g in found])

    expected = (gradient(1e-3) - gradient(-1e-3)) / 2e-3
    gradient(0.0)
    assert np.linalg.norm(hessian(vector) - expected) < 1e-2 * np.linalg.norm(expected)


def test_an_operation_without_second_derivatives_is_named():
    layers = [keras.Input((4, 4, 2)), keras.layers.Lambda(tf.nn.lrn), keras.layers.Conv2D(2, 4)]
    model = keras.Sequential([*layers[:1], keras.layers.Conv2D(2, 1), *layers[1:]])
    data = np.ones((2, 4, 4, 2)), np.ones((2, 1, 1, 2))
    hessian = kt.analysis.Hessian(model, data, "mse")
    with pytest.raises(ValueError, match="no second derivative .* LRNGrad"):
        hessian(np.ones(hessian.size))
    with pytest.raises(ValueError, match="no second derivative .* LRNGrad"):
        kt.scoring.grasp(model, *data, "mse")
