"""Positions of the weights of a sparse kernel: drawn, checked, and turned into masks.

They are flat and row-major, `input * units + unit`, in ascending order, as int64.
"""

import numpy as np

from keras_tickets._randomness import random_positions
from keras_tickets._selection.search import best_positions, random_scores_from

LARGEST_DENSE = 2**31 - 1  # weights of a kernel that is ever formed or ranked as a whole
_BLOCK = 2**20


def draw_positions(shape: tuple[int, int], count: int, name: str, seed: int) -> np.ndarray:
    """Draws the first positions of a kernel, from its name and a seed.

    For kernels of up to `LARGEST_DENSE` weights, they are exactly those of the random mask of
    `kt.sparsify`: the positions with the `count` highest random scores, found block by block. For
    larger kernels, they are the first `count` numbers of a random permutation of all positions,
    which is as uniform and takes a time that does not grow with the size.

    Args:
        shape: Inputs and units of the kernel.
        count: How many, at most inputs times units.
        name: What the kernel is called.
        seed: Non-negative integer.

    Returns:
        int64 array of shape (count,).
    """
    size = shape[0] * shape[1]
    if size > LARGEST_DENSE:
        return np.sort(random_positions(count, size, name, seed, step=0).numpy())
    block = min(_BLOCK, size)
    scores = random_scores_from(name, seed, step=0, block=block)
    return best_positions(scores, size, count, block=block).numpy()


def check_positions(positions: np.ndarray, shape: tuple[int, int], count: int) -> np.ndarray:
    """The positions as int64.

    Args:
        positions: Integer array of shape (count,), ascending.
        shape: Inputs and units of the kernel.
        count: How many there must be.

    Raises:
        ValueError: They cannot be the positions of `count` weights of such a kernel.
    """
    positions = np.asarray(positions)
    size = shape[0] * shape[1]
    if positions.dtype.kind not in "iu" or positions.shape != (count,):
        found = f"{positions.dtype} of shape {positions.shape}"
        raise ValueError(f"positions must be integers of shape {(count,)}, not {found}")
    positions = positions.astype(np.int64)
    ascending = (positions[1:] > positions[:-1]).all()
    if not ascending or positions[0] < 0 or positions[-1] >= size:
        raise ValueError(f"positions must be ascending, each once, in [0, {size})")
    return positions


def mask_of(positions: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The boolean mask that is `True` at the positions."""
    return spread(np.ones(positions.size, bool), positions, shape)


def spread(values: np.ndarray, positions: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The whole kernel: the values at their positions, 0 elsewhere.

    Raises:
        ValueError: It would have more than `LARGEST_DENSE` weights.
    """
    size = shape[0] * shape[1]
    if size > LARGEST_DENSE:
        raise ValueError(
            f"A kernel of shape {tuple(shape)} has {size:,} weights, and none of more than "
            f"{LARGEST_DENSE:,} is formed as a whole: neither its mask nor its dense values. Its "
            "`values` and `indices` are the layer's variables, and `model.save` keeps them."
        )
    whole = np.zeros(size, values.dtype)
    whole[positions] = values
    return whole.reshape(shape)
