"""How many weights each kernel grows when sparsity moves between kernels."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

_RESOLUTION = 1 << 20


def share_growth(
    importance: tf.Tensor, growth: tf.Tensor, room: Sequence[int] | tf.Tensor
) -> tf.Tensor:
    """Shares the weights to grow among kernels in proportion to their importance, exactly.

    Importances become integers, multiples of 2**-20 of the largest one, and the rest is integer
    arithmetic: every device and compiler arrives at the same counts. What does not fit into one
    kernel goes to the others. What rounding leaves over goes to the most important kernels, one
    weight each, ties to the earlier kernel.

    Args:
        importance: float32 tensor of shape (kernels,), not negative. If all are 0, all kernels
            share alike.
        growth: int scalar, the number of weights to grow, at most the sum of `room`.
        room: Tensor of shape (kernels,), the number of free positions in each kernel.

    Returns:
        int32 tensor of shape (kernels,). Its sum is `growth`, and no entry is above that of `room`.

    References:
        - [Dettmers and Zettlemoyer, 2019, "Sparse networks from scratch"](
          https://arxiv.org/abs/1907.04840), section 3.3
    """
    room = tf.cast(room, tf.int64)
    growth = tf.cast(growth, tf.int64)
    largest = tf.cast(tf.reduce_max(importance), tf.float64)
    scaled = tf.cast(importance, tf.float64) / tf.maximum(largest, np.finfo(np.float32).tiny)
    shares = tf.cast(scaled * _RESOLUTION, tf.int64)

    def weights_of(given):
        """The shares of the kernels that still have room; equal shares if all are 0."""
        open_ = tf.cast(room > given, tf.int64)
        weights = shares * open_
        return tf.where(tf.reduce_sum(weights) > 0, weights, open_)

    def fill(given, left, moved):
        weights = weights_of(given)
        total = tf.maximum(tf.reduce_sum(weights), 1)
        more = tf.minimum(left * weights // total, room - given)
        return given + more, left - tf.reduce_sum(more), tf.reduce_sum(more) > 0

    def one_each(given, left, moved):
        weights = weights_of(given)
        order = tf.argsort(weights, direction="DESCENDING", stable=True)
        rank = tf.argsort(order, stable=True)
        more = tf.cast((tf.cast(rank, tf.int64) < left) & (room > given), tf.int64)
        return given + more, left - tf.reduce_sum(more), tf.reduce_sum(more) > 0

    def loop(step, state):
        return tf.while_loop(
            lambda given, left, moved: (left > 0) & moved, step, state, parallel_iterations=1
        )

    state = (tf.zeros_like(room), growth, tf.constant(True))
    given, left, _ = loop(fill, state)
    given, _, _ = loop(one_each, (given, left, tf.constant(True)))
    return tf.cast(given, tf.int32)


def mean_magnitude(values: tf.Tensor, mask: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """The mean magnitude of the values on a mask, 0 where the mask is empty.

    Args:
        values: Float tensor of a kernel's shape.
        mask: Boolean tensor of the same shape.
        count: int32 scalar, the number of weights that the mask leaves.

    Returns:
        float32 scalar. The sum is taken in float64, so that its order does not change the result.
    """
    magnitudes = tf.where(mask, tf.abs(tf.cast(values, tf.float64)), 0.0)
    mean = tf.reduce_sum(magnitudes) / tf.cast(tf.maximum(count, 1), tf.float64)
    return tf.cast(mean, tf.float32)
