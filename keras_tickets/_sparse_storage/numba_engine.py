"""The engine of numba: compiled loops over the values, on all cores."""

import dataclasses
import functools
import threading

import numba
import numpy as np
import tensorflow as tf

from keras_tickets._sparse_storage import numba_kernels
from keras_tickets._sparse_storage.pattern import Pattern
from keras_tickets._sparse_storage.threads import share

_THREADS = numba.config.NUMBA_NUM_THREADS
# Rows are divided finer than among threads, so that none waits for one that is held up.
_PARTS = 4 * _THREADS
# Columns of a kernel whose sums stay in the cache of a core.
_BLOCK = 2048
# TensorFlow runs operations side by side. Products take turns: each uses all cores.
_ALONE = threading.Lock()


def prepare(pattern: Pattern) -> Pattern:
    """See `Engine.prepare`: the blocks and columns of the indices, which are checked."""
    find = functools.partial(_locate, pattern.inputs, pattern.units)
    kinds = [tf.uint64, tf.int32]
    starts, columns = tf.numpy_function(find, [pattern.indices], kinds, stateful=False)
    return dataclasses.replace(pattern, starts=starts, columns=columns)


def multiply(pattern: Pattern, values: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """See `Engine.multiply`."""
    y = _call(_multiply, pattern, values, x)
    y.set_shape((x.shape[0], pattern.units))
    return y


def multiply_transposed(pattern: Pattern, values: tf.Tensor, dy: tf.Tensor) -> tf.Tensor:
    """See `Engine.multiply_transposed`."""
    dx = _call(_multiply_transposed, pattern, values, dy)
    dx.set_shape((dy.shape[0], pattern.inputs))
    return dx


def sample(pattern: Pattern, x: tf.Tensor, dy: tf.Tensor) -> tf.Tensor:
    """See `Engine.sample`."""
    values = _call(_sample, pattern, x, dy)
    values.set_shape(pattern.indices.shape)
    return values


def _call(product, pattern, *operands):
    """A product as an operation of the graph."""
    run = functools.partial(_run, product, pattern.inputs, pattern.units)
    given = [pattern.starts, pattern.columns, *operands]
    return tf.numpy_function(run, given, operands[0].dtype, stateful=False)


def _run(product, inputs, units, *operands):
    with _ALONE:
        return product(inputs, units, *operands)


def _locate(inputs, units, indices):
    # No more blocks than values, so that there is less to say of them than of the values.
    blocks = max(_THREADS, -(-units // _BLOCK))
    blocks = max(min(blocks, units, indices.size // inputs), 1)
    starts = np.empty(inputs * blocks + 1, np.uint64)
    columns = np.empty(indices.shape, np.int32)
    if not numba_kernels.locate(indices, inputs, units, blocks, starts, columns):
        raise ValueError(
            f"The indices of a sparse kernel of shape {(inputs, units)} must be ascending, each "
            f"once, in [0, {inputs * units})."
        )
    return starts, columns


def _multiply(inputs, units, starts, columns, values, x):
    tiles, y = _tiles(x), np.empty((x.shape[0], units), x.dtype)
    blocks = (starts.size - 1) // inputs

    def task(turn):
        tile, block = divmod(turn, blocks)
        numba_kernels.multiply(starts, columns, values, tiles, tile, block, y)

    share(task, len(tiles) * blocks, _THREADS)
    return y


def _multiply_transposed(inputs, units, starts, columns, values, dy):
    tiles, dx = _tiles(dy), np.empty((dy.shape[0], inputs), dy.dtype)
    parts = _parts(inputs)

    def task(turn):
        tile, part = divmod(turn, len(parts))
        numba_kernels.multiply_transposed(starts, columns, values, tiles, tile, *parts[part], dx)

    share(task, len(tiles) * len(parts), _THREADS)
    return dx


def _sample(inputs, units, starts, columns, x, dy):
    x, dy, values = _tiles(x), _tiles(dy), np.zeros(columns.shape, x.dtype)
    parts = _parts(inputs)
    share(
        lambda part: numba_kernels.sample(starts, columns, x, dy, *parts[part], values),
        len(parts),
        _THREADS,
    )
    return values


def _tiles(batch):
    """A batch of shape (examples, rows) in tiles."""
    (examples, rows), lanes = batch.shape, numba_kernels.LINE // batch.itemsize
    tiles = np.empty((-(-examples // lanes), rows, lanes), batch.dtype)
    parts = _parts(rows)
    share(lambda part: numba_kernels.to_tiles(batch, *parts[part], tiles), len(parts), _THREADS)
    return tiles


def _parts(rows):
    """First and last of the rows of each part."""
    count = min(_PARTS, rows)
    return [(rows * part // count, rows * (part + 1) // count) for part in range(count)]
