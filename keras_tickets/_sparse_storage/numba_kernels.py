"""The loops of the numba engine.

Matrices are transposed, with the batch along their rows, so that the innermost loop runs over
contiguous numbers. A kernel's values come in the order of its rows; `starts` says where each row
begins. Every result is summed in one order, whatever the number of threads.
"""

import numba
import numpy as np

# No assumption that NaN and infinity do not occur: training must see them.
_SUMS = {"reassoc", "contract", "nsz"}


def _compiled(function, **options):
    """Compiled when it is called; the machine code is kept on disk where there is a place."""
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:
        return numba.njit(**options)(function)


def _parallel(function):
    return _compiled(function, parallel=True, fastmath=_SUMS)


@_compiled
def ascending(indices, size):
    """Whether indices are ascending, each once, in [0, size)."""
    if indices.size == 0:
        return True
    wrong = 0
    for j in range(indices.size - 1):
        wrong += indices[j] >= indices[j + 1]
    return wrong == 0 and indices[0] >= 0 and indices[-1] < size


@_parallel
def multiply(indices, starts, units, parts, values, x):
    """`(x @ K)ᵀ` of xᵀ, shape (inputs, batch). The units are divided into `parts` for threads."""
    inputs, batch = x.shape
    y = np.zeros((units, batch), x.dtype)
    for part in numba.prange(parts):
        first_unit, last_unit = units * part // parts, units * (part + 1) // parts
        for i in range(inputs):
            row, offset = x[i], i * units
            j, end = starts[i], starts[i + 1]
            j += np.searchsorted(indices[j:end], offset + first_unit)
            while j < end and indices[j] < offset + last_unit:
                out, value = y[indices[j] - offset], values[j]
                for b in range(batch):
                    out[b] += value * row[b]
                j += 1
    return y


@_parallel
def multiply_transposed(indices, starts, units, values, dy):
    """`(dy @ Kᵀ)ᵀ` of dyᵀ, shape (units, batch). Each thread has some of the inputs."""
    inputs, batch = starts.size - 1, dy.shape[1]
    dx = np.zeros((inputs, batch), dy.dtype)
    for i in numba.prange(inputs):
        out, offset = dx[i], i * units
        for j in range(starts[i], starts[i + 1]):
            row, value = dy[indices[j] - offset], values[j]
            for b in range(batch):
                out[b] += value * row[b]
    return dx


@_parallel
def sample(indices, starts, units, x, dy):
    """`xᵀ @ dy` at the indices, of xᵀ and dyᵀ. Each thread has some of the inputs."""
    inputs, batch = x.shape
    values = np.empty(indices.size, x.dtype)
    for i in numba.prange(inputs):
        row, offset = x[i], i * units
        for j in range(starts[i], starts[i + 1]):
            other = dy[indices[j] - offset]
            total = x.dtype.type(0)
            for b in range(batch):
                total += row[b] * other[b]
            values[j] = total
    return values
