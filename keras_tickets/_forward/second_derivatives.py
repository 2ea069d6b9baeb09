"""Forward passes that TensorFlow can differentiate twice."""

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import tensorflow as tf


@contextlib.contextmanager
def twice_differentiable() -> Iterator[None]:
    """What is computed inside has right second derivatives where TensorFlow's are wrong or missing.

    These are moments, as in layer normalization, and interpolation between pixels, which are wrong
    in silence, and softsign. Layers look them up in TensorFlow's modules when they are traced, so
    they are replaced there meanwhile.
    """
    before = tf.nn.moments, tf.image.resize, tf.nn.softsign
    tf.nn.moments, tf.image.resize = _moments, functools.partial(_resize, tf.image.resize)
    tf.nn.softsign = _softsign
    try:
        yield
    finally:
        tf.nn.moments, tf.image.resize, tf.nn.softsign = before


def second_gradient(tape: tf.GradientTape, result: tf.Tensor, values: Any) -> list:
    """The gradient of what is made of gradients, 0 by values that it does not depend on.

    Raises:
        ValueError: TensorFlow does not know the second derivative of an operation in between.
    """
    try:
        return tape.gradient(result, values, unconnected_gradients="zero")
    except LookupError as error:
        raise ValueError(
            f"TensorFlow has no second derivative of an operation of the model: {error}."
        ) from error


def _softsign(features, name=None):
    return features / (1 + tf.abs(features))


def _moments(x, axes, shift=None, keepdims=False, name=None):
    """As TensorFlow's, which stop the gradient through the mean: only the first is 0 there."""
    x = tf.convert_to_tensor(x)
    y = tf.cast(x, tf.float32) if x.dtype == tf.float16 else x
    mean = tf.reduce_mean(y, axes, keepdims=True)
    variance = tf.reduce_mean(tf.math.squared_difference(y, mean), axes, keepdims=True)
    if not keepdims:
        mean, variance = tf.squeeze(mean, axes), tf.squeeze(variance, axes)
    return tf.cast(mean, x.dtype), tf.cast(variance, x.dtype)


def _resize(resize, images, *args, **kwargs):
    """As TensorFlow's, whose gradient has none. Both are linear, one the transpose of the other."""

    def forward(x):
        return resize(x, *args, **kwargs)

    @tf.custom_gradient
    def differentiable(x):
        return forward(x), transposed

    @tf.custom_gradient
    def transposed(gradient):
        with tf.GradientTape() as tape:
            start = tf.zeros_like(images)
            tape.watch(start)
            outputs = forward(start)
        return tape.gradient(outputs, start, gradient), differentiable

    images = tf.convert_to_tensor(images)
    return differentiable(images) if images.dtype.is_floating else forward(images)
