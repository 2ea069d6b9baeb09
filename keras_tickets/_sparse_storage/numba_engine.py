"""The engine of numba: compiled loops over the values, on all cores."""

import dataclasses
import functools
import threading

import numba
import numpy as np
import tensorflow as tf

from keras_tickets._sparse_storage import numba_kernels
from keras_tickets._sparse_storage.pattern import Pattern

# TensorFlow runs operations side by side. Kernels take turns: each uses all cores, two at once take
# twice the time of one after the other, and not all of numba's threading layers allow it.
_ALONE = threading.Lock()


def prepare(pattern: Pattern) -> Pattern:
    """See `Engine.prepare`: where the rows of the kernel begin, from indices that are checked."""
    find = functools.partial(_starts, pattern.inputs, pattern.units)
    starts = tf.numpy_function(find, [pattern.indices], tf.int64, stateful=False)
    starts.set_shape((pattern.inputs + 1,))
    return dataclasses.replace(pattern, starts=starts)


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
    run = functools.partial(_run, kernel, pattern.units)
    given = [pattern.indices, pattern.starts, *operands]
    return tf.numpy_function(run, given, operands[0].dtype, stateful=False)


def _run(kernel, units, indices, starts, *operands):
    with _ALONE:
        return kernel(indices, starts, units, *operands)


def _starts(inputs, units, indices):
    if not numba_kernels.ascending(indices, inputs * units):
        raise ValueError(
            f"The indices of a sparse kernel of shape {(inputs, units)} must be ascending, each "
            f"once, in [0, {inputs * units})."
        )
    return np.searchsorted(indices, np.arange(inputs + 1, dtype=np.int64) * units)
