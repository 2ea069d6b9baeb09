"""The engine of stock TensorFlow: CSR matrices, and a sampled gradient that XLA compiles."""

import tensorflow as tf

from keras_tickets._sparse_storage.pattern import Pattern

_BLOCK = 2**15


def prepare(pattern: Pattern) -> Pattern:
    """See `Engine.prepare`."""
    return pattern


def multiply(pattern: Pattern, values: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """See `Engine.multiply`."""
    # With `transpose_a` the order of the sums would change from call to call.
    transposed = tf.raw_ops.SparseMatrixTranspose(input=_matrix(pattern, values), type=values.dtype)
    y = tf.raw_ops.SparseMatrixMatMul(a=transposed, b=x, transpose_b=True)
    return _shaped(tf.transpose(y), x, pattern.units)


def multiply_transposed(pattern: Pattern, values: tf.Tensor, dy: tf.Tensor) -> tf.Tensor:
    """See `Engine.multiply_transposed`."""
    dx = tf.raw_ops.SparseMatrixMatMul(a=_matrix(pattern, values), b=dy, transpose_b=True)
    return _shaped(tf.transpose(dx), dy, pattern.inputs)


def sample(pattern: Pattern, x: tf.Tensor, dy: tf.Tensor) -> tf.Tensor:
    """See `Engine.sample`."""
    rows, columns = (tf.cast(part, tf.int32) for part in _coordinates(pattern))
    values = _dot_rows(rows, columns, tf.transpose(x), tf.transpose(dy))
    values.set_shape(pattern.indices.shape)
    return values


def _coordinates(pattern):
    return pattern.indices // pattern.units, pattern.indices % pattern.units


def _matrix(pattern, values):
    """The kernel as a CSR matrix; of equal ones in a graph, TensorFlow makes one."""
    return tf.raw_ops.SparseTensorToCSRSparseMatrix(
        indices=tf.stack(_coordinates(pattern), axis=1),
        values=values,
        dense_shape=[pattern.inputs, pattern.units],
    )


def _shaped(result, like, columns):
    result.set_shape((like.shape[0], columns))
    return result


@tf.function(jit_compile=True, autograph=False, reduce_retracing=True)
def _dot_rows(rows, columns, x, dy):
    """Dot products of rows of two matrices, in blocks: gathered rows are held of one alone."""
    count = tf.shape(rows)[0]
    blocks = -(-count // _BLOCK)
    padding = [[0, blocks * _BLOCK - count]]
    pairs = [tf.reshape(tf.pad(part, padding), (blocks, _BLOCK)) for part in (rows, columns)]

    def dot(pair):
        return tf.reduce_sum(tf.gather(x, pair[0]) * tf.gather(dy, pair[1]), axis=1)

    dots = tf.reshape(tf.map_fn(dot, pairs, fn_output_signature=x.dtype), [-1])[:count]
    # `products` has the derivatives. A tape that watches would have XLA hand out lists otherwise.
    return tf.stop_gradient(dots)
