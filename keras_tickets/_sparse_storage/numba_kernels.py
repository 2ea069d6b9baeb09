"""The loops of the numba engine.

They take matrices in tiles, `(tiles, rows, lanes)`: the examples of a batch are divided among tiles
and lie side by side in lanes, what is left of the last tile is 0. A row of a tile is a cache line,
and a tile of some thousand rows stays in the cache of a core. A kernel's values come in the order
of its rows. Each row is divided into blocks of columns, equal for all rows; `starts` says where
each block of each row begins, and where the last one ends.

Each function does a part of the work, for threads to share. Every result is summed in one order,
whatever the parts.
"""

import numba
import numpy as np

from keras_tickets._sparse_storage.numba_vectors import (
    LINE,
    add_product,
    dot,
    load,
    store,
    zeros,
)

# As many rows are moved together between tiles and batches: those of a cache line.
_STRIP = 16


def _compiled(function):
    """Compiled when it is called; the machine code is kept on disk where there is a place."""
    try:
        return numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:
        return numba.njit(nogil=True)(function)


@_compiled
def locate(indices, inputs, units, blocks, starts, columns):
    """Fills `starts` and the column of each index.

    Returns:
        Whether the indices are ascending, each once, in [0, inputs * units).
    """
    j, last = 0, -1
    for i in range(inputs):
        for block in range(blocks):
            starts[i * blocks + block] = j
            end = i * units + units * (block + 1) // blocks
            while j < indices.size and indices[j] < end:
                if indices[j] <= last:
                    return False
                last = indices[j]
                columns[j] = last - i * units
                j += 1
    starts[inputs * blocks] = j
    return j == indices.size


@_compiled
def to_tiles(batch, first, last, tiles):
    """Puts columns of a batch, of shape (examples, rows), into rows of tiles."""
    examples, lanes = batch.shape[0], LINE // batch.itemsize
    for tile in range(tiles.shape[0]):
        begin = tile * lanes
        for strip in range(first, last, _STRIP):
            end = min(strip + _STRIP, last)
            for lane in range(lanes):
                if begin + lane < examples:
                    for row in range(strip, end):
                        tiles[tile, row, lane] = batch[begin + lane, row]
                else:
                    for row in range(strip, end):
                        tiles[tile, row, lane] = 0


@_compiled
def from_tile(rows, count, batch, begin, first):
    """Puts `count` rows of a tile into columns of a batch from the example `begin` on."""
    examples = min(LINE // rows.itemsize, batch.shape[0] - begin)
    for strip in range(0, count, _STRIP):
        end = min(strip + _STRIP, count)
        for lane in range(examples):
            for row in range(strip, end):
                batch[begin + lane, first + row] = rows[row, lane]


@_compiled
def multiply(starts, columns, values, x, tile, block, y):
    """`x @ K` of a tile of x, for a block of columns, into y of shape (examples, units)."""
    inputs, lanes = x.shape[1], x.shape[2]
    blocks, units = (starts.size - 1) // inputs, y.shape[1]
    first, last = units * block // blocks, units * (block + 1) // blocks
    sums = np.zeros((last - first, lanes), x.dtype)
    for i in range(inputs):
        row = load(x[tile], i)
        place = i * blocks + block
        for j in range(starts[place], starts[place + 1]):
            unit = columns[j] - first
            store(sums, unit, add_product(load(sums, unit), values[j], row))
    from_tile(sums, last - first, y, tile * lanes, first)


@_compiled
def multiply_transposed(starts, columns, values, dy, tile, first, last, dx):
    """`dy @ Kᵀ` of a tile of dy, for some inputs, into dx of shape (examples, inputs)."""
    blocks, lanes = (starts.size - 1) // dx.shape[1], dy.shape[2]
    sums = np.empty((_STRIP, lanes), dy.dtype)
    for strip in range(first, last, _STRIP):
        count = min(_STRIP, last - strip)
        for k in range(count):
            i = strip + k
            total = zeros(dy)
            for j in range(starts[i * blocks], starts[(i + 1) * blocks]):
                total = add_product(total, values[j], load(dy[tile], columns[j]))
            store(sums, k, total)
        from_tile(sums, count, dx, tile * lanes, strip)


@_compiled
def sample(starts, columns, x, dy, first, last, values):
    """`xᵀ @ dy` at the positions in some rows, of x and dy in tiles. Adds it to the values."""
    blocks = (starts.size - 1) // x.shape[1]
    for tile in range(x.shape[0]):
        for i in range(first, last):
            row = load(x[tile], i)
            for j in range(starts[i * blocks], starts[(i + 1) * blocks]):
                values[j] += dot(row, load(dy[tile], columns[j]))
