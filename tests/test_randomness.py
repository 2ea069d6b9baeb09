import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from sklearn.utils import murmurhash3_32
from slow_cases import slow_unless

from keras_tickets._randomness import random_positions, random_scores

CASES = [("dense/kernel", 0, 0), ("x", -7, 2**40 + 3), ("größe/kernel", 2**63, 2**31)]


def expected(shape, path, seed, step):
    crc = zlib.crc32(path.encode())
    messages = [
        struct.pack("<IQQI", crc, seed % 2**64, step, i) for i in range(int(np.prod(shape)))
    ]
    hashes = [murmurhash3_32(message, seed=0, positive=True) for message in messages]
    return (np.array(hashes) // 256 / 2**24).astype(np.float32).reshape(shape)


@pytest.mark.parametrize("path, seed, step", CASES)
def test_is_the_published_hash_in_eager_mode_graph_and_xla(path, seed, step):
    want = expected((3, 5, 2), path, seed, step)
    np.testing.assert_array_equal(random_scores((3, 5, 2), path, seed, step), want)
    for jit_compile in (False, True):
        run = tf.function(
            lambda step: random_scores((3, 5, 2), path, seed, step), jit_compile=jit_compile
        )
        np.testing.assert_array_equal(run(tf.constant(step, tf.int64)), want)


def test_scores_are_uniform():
    scores = random_scores((300, 700), "dense/kernel", seed=3, step=100).numpy().ravel()
    assert scores.dtype == np.float32
    assert 0 <= scores.min() and scores.max() < 1
    counts = np.histogram(scores, bins=256, range=(0, 1))[0]
    average = scores.size / 256
    chi_squared = ((counts - average) ** 2 / average).sum()
    assert 160 < chi_squared < 370  # 255 degrees of freedom, 1 in 100,000 on either side


@pytest.mark.parametrize("other", [("a/kernel", 1, 5), ("b/kernel", 0, 5), ("a/kernel", 0, 6)])
def test_streams_are_independent(other):
    first = random_scores((200, 500), "a/kernel", 0, 5).numpy().ravel()
    second = random_scores((200, 500), *other).numpy().ravel()
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.015
    chosen = (first < 0.1) & (second < 0.1)
    assert 800 < chosen.sum() < 1200


def test_neighbors_are_independent():
    scores = random_scores((100_000,), "a/kernel", 0, 5).numpy()
    for lag in (1, 2, 10, 256, 784):
        assert abs(np.corrcoef(scores[:-lag], scores[lag:])[0, 1]) < 0.015


@pytest.mark.parametrize("shape", [(), (0,), (1,), (2, 0, 3)])
def test_small_shapes(shape):
    assert random_scores(shape, "a", 0, 1).shape == shape


@pytest.mark.parametrize(
    "size", slow_unless(lambda size: size in (1, 3, 17), [1, 2, 3, 16, 17, 100])
)
def test_random_positions_are_a_permutation(size):
    everything = random_positions(size, size, "a", 0, 1).numpy()
    assert sorted(everything.tolist()) == list(range(size))


def test_random_positions_are_alike_everywhere_and_even():
    def draw(step):
        return random_positions(50_000, 10**12 + 7, "a/kernel", 5, step)

    step = tf.constant(9, tf.int64)
    drawn = draw(step).numpy()
    np.testing.assert_array_equal(drawn, tf.function(draw, jit_compile=True)(step))
    assert len(set(drawn.tolist())) == drawn.size
    counts = np.histogram(drawn, bins=64, range=(0, 10**12 + 7))[0]
    average = drawn.size / 64
    assert ((counts - average) ** 2 / average).sum() < 125  # 63 degrees of freedom, 1 in 100,000
    assert abs(np.corrcoef(drawn[1:], drawn[:-1])[0, 1]) < 0.02
    assert len(np.intersect1d(drawn, draw(tf.constant(10, tf.int64)).numpy())) < 3
