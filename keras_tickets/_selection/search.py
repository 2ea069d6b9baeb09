"""The best positions of a kernel that is too large for an array of its size.

A kernel in sparse storage is known by the flat (row-major) positions of its weights, int64, sorted.
Where masks rank all positions at once, the functions here take them in blocks and keep a running
choice: the same positions, ties by the lowest, in memory for one block and the choice alone.
"""

from collections.abc import Callable

import tensorflow as tf

from keras_tickets._randomness import PERMUTED_AT_ONCE, permutation, scores_at, stream
from keras_tickets._selection.exact import EXCLUDED, choose_keys, sort_keys


def best_positions(
    scores_from: Callable[[tf.Tensor], tf.Tensor],
    size: int,
    k: int | tf.Tensor,
    *,
    block: int,
    taken: tf.Tensor | None = None,
) -> tf.Tensor:
    """Finds the `k` positions with the highest scores, exactly, in graph.

    The choice is that of `choose`: ties go to the lowest position.

    Args:
        scores_from: Given an int64 scalar `start`, the scores of the positions from it on: float32,
            of shape (min(block, size),).
        size: Number of positions.
        k: How many to find, at most those that are not taken; an integer or an int32 scalar.
        block: Number of positions that are ranked at once.
        taken: int64 tensor of shape (positions,), sorted: those that may not be chosen.

    Returns:
        An int64 tensor of shape (k,), sorted.

    Example:

    >>> import tensorflow as tf
    >>> from keras_tickets._selection.search import best_positions
    >>> scores = tf.constant([0.0, 3.0, 2.0, 3.0, 1.0, 2.0])
    >>> best_positions(lambda start: tf.slice(scores, [start], [2]), 6, 3, block=2).numpy().tolist()
    [1, 2, 3]
    """
    block = min(block, size)
    k = tf.cast(k, tf.int32)

    def search(start, keys, positions, threshold):
        # The last block begins where the kernel has a whole one left.
        first = tf.minimum(start, tf.constant(size - block, tf.int64))
        block_keys = sort_keys(scores_from(first))
        if taken is not None:
            inside = tf.searchsorted(taken, tf.stack([first, first + block]))
            here = taken[inside[0] : inside[1], None] - first
            excluded = tf.fill(tf.shape(here)[:1], EXCLUDED)
            block_keys = tf.tensor_scatter_nd_update(block_keys, here, excluded)
        block_keys = block_keys[tf.cast(start - first, tf.int32) :]
        found = tf.where(block_keys > threshold)[:, 0]
        keys = tf.concat([keys, tf.gather(block_keys, found)], 0)
        positions = tf.concat([positions, found + start], 0)
        choice = tf.cond(
            tf.size(keys) > 2 * k,
            lambda: _keep_best(keys, positions, k),
            lambda: (keys, positions, threshold),
        )
        return start + block, *choice

    nothing = (tf.zeros([0], tf.int32), tf.zeros([0], tf.int64), tf.constant(EXCLUDED))
    _, keys, positions, _ = tf.while_loop(
        lambda start, *choice: start < size,
        search,
        (tf.constant(0, tf.int64), *nothing),
        shape_invariants=(
            tf.TensorShape([]),
            tf.TensorShape([None]),
            tf.TensorShape([None]),
            tf.TensorShape([]),
        ),
        parallel_iterations=1,
    )
    return _keep_best(keys, positions, k)[1]


def _keep_best(keys, positions, k):
    """The `k` best of what was found so far, in order, and the key that others must exceed."""
    chosen, threshold = choose_keys(keys, k)
    best = tf.where(chosen)[:, 0]
    return tf.gather(keys, best), tf.gather(positions, best), threshold


def random_scores_from(
    path: str, seed: int, step: int | tf.Tensor, block: int
) -> Callable[[tf.Tensor], tf.Tensor]:
    """The scores that `random_scores` draws, block by block, for `best_positions`.

    Args:
        path: Kernel path.
        seed: Non-negative integer.
        step: Optimizer step: an integer, or a scalar integer tensor.
        block: Number of positions in a block.
    """
    words = stream(path, seed, step)
    return lambda start: _random_block(words, start, block)


# XLA makes one pass of the hash's many.
@tf.function(jit_compile=True, autograph=False)
def _random_block(words, start, block):
    return scores_at(start + tf.range(block, dtype=tf.int64), words)


def product_scores_from(
    inputs: tf.Tensor, gradients: tf.Tensor, block_rows: int
) -> Callable[[tf.Tensor], tf.Tensor]:
    """The dense gradient of a kernel, block by block, for `best_positions`.

    Args:
        inputs: Float tensor of shape (examples, inputs): what the layer was called on.
        gradients: Float tensor of shape (examples, units): the gradient of the loss with respect to
            what the kernel made of them.
        block_rows: Number of inputs in a block.

    Returns:
        A function from a position at the beginning of a row to the float32 gradients from it on,
        flat, of `block_rows` rows.
    """
    examples, units = tf.shape(inputs)[0], gradients.shape[1]

    def product(start):
        row = tf.cast(start // units, tf.int32)
        rows = tf.slice(inputs, [0, row], [examples, block_rows])
        gradient = tf.matmul(rows, gradients, transpose_a=True)
        return tf.reshape(tf.cast(gradient, tf.float32), [block_rows * units])

    return product


def is_taken(positions: tf.Tensor, taken: tf.Tensor) -> tf.Tensor:
    """Which positions are among the sorted `taken`: int64 tensors of one axis to booleans."""
    place = tf.searchsorted(taken, positions)
    known = tf.gather(tf.concat([taken, [-1]], 0), place)
    return known == positions


def draw_free_positions(
    size: int,
    k: tf.Tensor,
    *,
    taken: tf.Tensor,
    path: str,
    seed: int,
    step: int | tf.Tensor,
) -> tf.Tensor:
    """Draws `k` positions that are not taken, at random, by a permutation of all.

    Args:
        size: Number of positions.
        k: How many to draw, an int32 scalar.
        taken: int64 tensor, sorted, of at most `size` - `k` positions.
        path: As in `random_positions`.
        seed: As in `random_positions`.
        step: As in `random_positions`.

    Returns:
        An int64 tensor of shape (k,), sorted.
    """
    permuted = permutation(size, path, seed, step)

    def draw(start, found):
        drawn = permuted(start)
        free = tf.boolean_mask(drawn, ~is_taken(drawn, taken))
        return start + PERMUTED_AT_ONCE, tf.concat([found, free], 0)

    _, found = tf.while_loop(
        lambda start, found: tf.size(found) < k,
        draw,
        (tf.constant(0, tf.int64), tf.zeros([0], tf.int64)),
        shape_invariants=(tf.TensorShape([]), tf.TensorShape([None])),
        parallel_iterations=1,
    )
    return tf.sort(found[:k])
