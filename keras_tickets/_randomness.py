"""Random numbers that are the same on every device, strategy and compiler.

A number is a hash, in integer arithmetic, of what it is for: kernel path, seed, optimizer step and
position. TensorFlow's own stateless generators give different numbers under XLA and in a graph.
"""

import zlib
from collections.abc import Callable

import tensorflow as tf

_C1 = 0xCC9E2D51
_C2 = 0x1B873593
_LENGTH = 24  # bytes hashed: those of path, seed, step and position
_ROUNDS = 10
PERMUTED_AT_ONCE = 1 << 16


def random_scores(shape: tuple[int, ...], path: str, seed: int, step: int | tf.Tensor) -> tf.Tensor:
    """Draws uniform random scores, bit for bit the same in eager mode, in a graph and under XLA.

    The score at flat index i is the upper 24 bits of a 32-bit MurmurHash3. Hashed are the CRC-32 of
    `path`, `seed`, `step` and i, as little-endian words of 32, 64, 64 and 32 bits. For a given
    path, seed and step, the hashes of different positions differ.

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
    positions = tf.range(tf.TensorShape(shape).num_elements())
    return tf.reshape(scores_at(positions, stream(path, seed, step)), shape)


def stream(path: str, seed: int, step: int | tf.Tensor) -> tf.Tensor:
    """The hash of all that a stream of random numbers is for but the position, a uint32 scalar.

    Takes the arguments of `random_scores`.
    """
    step = tf.cast(step, tf.int64)
    words = [_word(zlib.crc32(path.encode())), _word(seed), _word(seed >> 32), *_words(step)]
    state = _word(0)
    for word in words:
        state = _absorb(state, word)
    return state


def scores_at(positions: tf.Tensor, stream: tf.Tensor) -> tf.Tensor:
    """The random scores at some flat positions, as `random_scores` draws them.

    Args:
        positions: Integer tensor of any shape, of numbers in [0, 2**32).
        stream: What `stream` gives.

    Returns:
        A float32 tensor of that shape.
    """
    hashes = _finish(_absorb(stream, _low_word(positions)), length=_LENGTH)
    upper = tf.bitcast(tf.bitwise.right_shift(hashes, _word(8)), tf.int32)
    return tf.cast(upper, tf.float32) * 2.0**-24


def random_positions(
    count: int, size: int, path: str, seed: int, step: int | tf.Tensor
) -> tf.Tensor:
    """Draws different positions at random, in time that does not grow with how many there are.

    The j-th is where j stands in a permutation of the numbers below `size`: a Feistel network whose
    round function is the hash of `random_scores`, applied until the result is below `size`.

    Args:
        count: How many to draw, at most `size`.
        size: Positions are drawn from [0, size), with `size` at most 2**62.
        path: As in `random_scores`.
        seed: As in `random_scores`.
        step: As in `random_scores`.

    Returns:
        An int64 tensor of shape (count,), in the order of the draw.

    Example:

    >>> from keras_tickets._randomness import random_positions
    >>> positions = random_positions(5, 10**12, "dense/kernel", seed=0, step=100)
    >>> len(set(positions.numpy().tolist()))
    5

    References:
        - [Black and Rogaway, 2002, "Ciphers with arbitrary finite domains"](
          https://doi.org/10.1007/3-540-45760-7_9): the Feistel network, and cycle walking
    """
    permuted = permutation(size, path, seed, step)
    starts = tf.range(0, count, PERMUTED_AT_ONCE, dtype=tf.int64)
    return tf.reshape(tf.map_fn(permuted, starts, parallel_iterations=1), [-1])[:count]


def permutation(
    size: int, path: str, seed: int, step: int | tf.Tensor
) -> Callable[[tf.Tensor], tf.Tensor]:
    """A random permutation of the numbers below `size`, that of `random_positions`.

    Args:
        size: As in `random_positions`.
        path: As in `random_positions`.
        seed: As in `random_positions`.
        step: As in `random_positions`.

    Returns:
        A function from an int64 scalar to where the `PERMUTED_AT_ONCE` numbers from it on stand,
        an int64 tensor. From `size` on they begin anew.
    """
    bits = max((size - 1).bit_length(), 2)
    keys = tf.stack([stream(f"{path}/{i}", seed, step) for i in range(_ROUNDS)])
    size = tf.constant(size, tf.int64)
    return lambda start: _permuted_from(start, keys, size, bits)


# XLA makes one pass of the hashes' many.
@tf.function(jit_compile=True, autograph=False)
def _permuted_from(start, keys, size, bits):
    def walk(numbers):
        return (tf.where(numbers >= size, _permute(numbers, bits, keys), numbers),)

    numbers = (start + tf.range(PERMUTED_AT_ONCE, dtype=tf.int64)) % size
    first = _permute(numbers, bits, keys)
    return tf.while_loop(lambda numbers: tf.reduce_any(numbers >= size), walk, (first,))[0]


def _permute(values, bits, keys):
    """A permutation of the int64 numbers of so many bits."""
    low_bits = bits // 2
    low = tf.bitwise.bitwise_and(values, _ones(low_bits))
    high = tf.bitwise.right_shift(values, tf.constant(low_bits, tf.int64))
    for i, key in enumerate(tf.unstack(keys, _ROUNDS)):
        source, width = (low, bits - low_bits) if i % 2 == 0 else (high, low_bits)
        hashes = tf.cast(_finish(_absorb(key, _low_word(source)), _LENGTH), tf.int64)
        mixed = tf.bitwise.bitwise_and(hashes, _ones(width))
        if i % 2 == 0:
            high = tf.bitwise.bitwise_xor(high, mixed)
        else:
            low = tf.bitwise.bitwise_xor(low, mixed)
    return tf.bitwise.left_shift(high, tf.constant(low_bits, tf.int64)) + low


def _ones(bits):
    return tf.constant((1 << bits) - 1, tf.int64)


def _words(value: tf.Tensor) -> list[tf.Tensor]:
    """The low and the high word of an int64 scalar."""
    return [_low_word(value), _low_word(tf.bitwise.right_shift(value, tf.constant(32, tf.int64)))]


def _word(value: int) -> tf.Tensor:
    return tf.constant(value & 0xFFFFFFFF, tf.uint32)


def _low_word(value: tf.Tensor) -> tf.Tensor:
    if value.dtype == tf.int32:
        return tf.bitcast(value, tf.uint32)
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
