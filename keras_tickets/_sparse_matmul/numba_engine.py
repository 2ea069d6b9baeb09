"""The engine of numba: compiled loops over the values, on all cores."""

import functools

import numba
import numpy as np
import tensorflow as tf

from keras_tickets._sparse_matmul import numba_kernels
from keras_tickets._sparse_matmul.pattern import Pattern


def multiply(pattern: Pattern, values: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """See `Engine.multiply`."""
    y = _call(_multiply, pattern, values, tf.transpose(x))
    y.set_shape((pattern.units, x.shape[0]))
    return tf.transpose(y)


def multiply_transposed(pattern: Pattern, values: tf.Tensor, dy: tf.Tensor) -> tf.Tensor:
    """See `Engine.multiply_transposed`."""
    dx = _call(numba_kernels.multiply_transposed, pattern, values, tf.transpose(dy))
    dx.set_shape((pattern.inputs, dy.shape[0]))
    return tf.transpose(dx)


def sample(pattern: Pattern, x: tf.Tensor, dy: tf.Tensor) -> tf.Tensor:
    """See `Engine.sample`."""
    values = _call(numba_kernels.sample, pattern, tf.transpose(x), tf.transpose(dy))
    values.set_shape(pattern.indices.shape)
    return values


def _multiply(indices, starts, units, values, x):
    parts = min(numba.get_num_threads(), units)
    return numba_kernels.multiply(indices, starts, units, parts, values, x)


def _call(kernel, pattern, *operands):
    """A kernel as an operation of the graph."""
    run = functools.partial(_run, kernel, pattern.inputs, pattern.units)
    dtype = operands[0].dtype
    return tf.numpy_function(run, [pattern.indices, *operands], dtype, stateful=False)


def _run(kernel, inputs, units, indices, *operands):
    # What runs here holds Python's lock, so that no two kernels share numba's threads.
    if not numba_kernels.ascending(indices, inputs * units):
        raise ValueError(
            f"The indices of a sparse kernel of shape {(inputs, units)} must be ascending, each "
            f"once, in [0, {inputs * units})."
        )
    starts = np.searchsorted(indices, np.arange(inputs + 1, dtype=np.int64) * units)
    return kernel(indices, starts, units, *operands)
