"""Random numbers that every device, strategy and compiler draws alike.

A number is a hash of what it is for (kernel path, seed, optimizer step and position), in integer
arithmetic. TensorFlow's own stateless generators give other numbers under XLA than in a graph.
"""

import zlib

import tensorflow as tf

_C1 = 0xCC9E2D51
_C2 = 0x1B873593


def random_scores(shape: tuple[int, ...], path: str, seed: int, step: int | tf.Tensor) -> tf.Tensor:
    """Draws uniform random scores, bit for bit the same in eager mode, in a graph and under XLA.

    The score at flat index i is made of the upper 24 bits of the 32-bit MurmurHash3 of the CRC-32
    of `path`, then `seed`, `step` and i: little-endian words of 32, 64, 64 and 32 bits. For a given
    path, seed and step the hashes of different positions differ.

    Args:
        shape: Static shape of the result.
        path: Kernel path. Add a suffix to draw independent numbers for another purpose.
        seed: An integer of at most 64 bits.
        step: Optimizer step: an integer, or a scalar integer tensor.

    Returns:
        A float32 tensor of that shape, uniform over the multiples of 2**-24 in [0, 1).

    Example:

    >>> from keras_tickets._randomness import random_scores
    >>> scores = random_scores((2, 3), "dense/kernel", seed=0, step=100)
    >>> scores.shape.as_list()
    [2, 3]

    References:
        Austin Appleby, MurmurHash3_x86_32 (public domain, 2011).
    """
    words = [_word(zlib.crc32(path.encode())), _word(seed), _word(seed >> 32)]
    step = tf.cast(step, tf.int64)
    words += [_low_word(step), _low_word(tf.bitwise.right_shift(step, 32))]
    state = _word(0)
    for word in words:
        state = _absorb(state, word)
    positions = tf.bitcast(tf.range(tf.TensorShape(shape).num_elements()), tf.uint32)
    hashes = _finish(_absorb(state, positions), length=4 * (len(words) + 1))
    upper = tf.bitcast(tf.bitwise.right_shift(hashes, _word(8)), tf.int32)
    return tf.reshape(tf.cast(upper, tf.float32) * 2.0**-24, shape)


def _word(value: int) -> tf.Tensor:
    return tf.constant(value & 0xFFFFFFFF, tf.uint32)


def _low_word(value: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.bitwise.bitwise_and(value, tf.constant(0xFFFFFFFF, tf.int64)), tf.uint32)


def _absorb(state, word):
    word = _rotate_left(word * _word(_C1), 15) * _word(_C2)
    state = _rotate_left(tf.bitwise.bitwise_xor(state, word), 13)
    return state * _word(5) + _word(0xE6546B64)


def _finish(state, length):
    state = tf.bitwise.bitwise_xor(state, _word(length))
    state = _xor_shift(state, 16) * _word(0x85EBCA6B)
    state = _xor_shift(state, 13) * _word(0xC2B2AE35)
    return _xor_shift(state, 16)


def _rotate_left(value, bits):
    return tf.bitwise.bitwise_or(
        tf.bitwise.left_shift(value, _word(bits)), tf.bitwise.right_shift(value, _word(32 - bits))
    )


def _xor_shift(value, bits):
    return tf.bitwise.bitwise_xor(value, tf.bitwise.right_shift(value, _word(bits)))
