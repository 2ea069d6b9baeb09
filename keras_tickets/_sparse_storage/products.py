"""The product of a batch with a sparse kernel, differentiable any number of times.

Each of the three products is bilinear, and its derivatives are the other two: so each one's
gradient is written with them, and no engine needs to know of derivatives.
"""

import tensorflow as tf

from keras_tickets._sparse_storage.engines import Engine
from keras_tickets._sparse_storage.pattern import Pattern


def multiply(engine: Engine, pattern: Pattern, values: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """`x @ K`, where the kernel K is 0 but for `values` at the positions of `pattern`.

    Args:
        engine: What computes it.
        pattern: Where the values are.
        values: Tensor of shape (values,).
        x: Tensor of shape (batch, inputs) and the same dtype, float32 or float64.

    Returns:
        Tensor of shape (batch, units).
    """
    return _multiply(engine, engine.prepare(pattern), values, x)


def _multiply(engine, pattern, values, x):
    @tf.custom_gradient
    def product(values, x):
        def gradient(dy):
            return (
                _sample(engine, pattern, x, dy),
                _multiply_transposed(engine, pattern, values, dy),
            )

        return engine.multiply(pattern, values, x), gradient

    return product(values, x)


def _multiply_transposed(engine, pattern, values, dy):
    @tf.custom_gradient
    def product(values, dy):
        def gradient(dx):
            return _sample(engine, pattern, dx, dy), _multiply(engine, pattern, values, dx)

        return engine.multiply_transposed(pattern, values, dy), gradient

    return product(values, dy)


def _sample(engine, pattern, x, dy):
    @tf.custom_gradient
    def product(x, dy):
        def gradient(values):
            return (
                _multiply_transposed(engine, pattern, values, dy),
                _multiply(engine, pattern, values, x),
            )

        return engine.sample(pattern, x, dy), gradient

    return product(x, dy)
