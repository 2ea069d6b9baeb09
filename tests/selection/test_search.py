import itertools

import hypothesis
import numpy as np
import oracle
import pytest
import tensorflow as tf
from hypothesis import strategies as st
from slow_cases import slow_unless

from keras_tickets._randomness import random_scores
from keras_tickets._selection import exact, search


def from_array(scores, block):
    """`scores_from` of an array."""
    flat = tf.constant(scores.ravel())
    return lambda start: tf.slice(flat, [start], [min(block, scores.size)])


@st.composite
def searches(draw):
    size = draw(st.integers(1, 40))
    values = draw(st.sampled_from([[0.0], [0.0, 1.0], [-1.0, 0.0, 1.0, 2.0], list(range(40))]))
    values = draw(st.lists(st.sampled_from(values), min_size=size, max_size=size))
    taken = draw(st.lists(st.booleans(), min_size=size, max_size=size))
    free = size - sum(taken)
    block = draw(st.integers(1, size + 2))
    return np.array(values, np.float32), np.array(taken), draw(st.integers(0, free)), block


@hypothesis.given(case=searches())
@hypothesis.settings(max_examples=60, deadline=None)
def test_blocks_find_what_a_sort_of_all_finds(case):
    scores, taken, k, block = case
    found = search.best_positions(
        from_array(scores, block),
        scores.size,
        k,
        block=block,
        taken=tf.constant(np.flatnonzero(taken)),
    )
    np.testing.assert_array_equal(found, np.flatnonzero(oracle.top(scores, k, ~taken)))


@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf, -0.0, 1e-45])
def test_special_scores_rank_as_in_a_mask(special):
    scores = np.random.default_rng(0).choice([special, 0.0, 1.0, -1.0], 50).astype(np.float32)
    for k in (1, 17, 30, 50):
        found = search.best_positions(from_array(scores, 7), 50, k, block=7).numpy()
        np.testing.assert_array_equal(found, np.flatnonzero(exact.choose(scores, k)))


@pytest.mark.parametrize(
    "fraction, block_rows",
    slow_unless(
        lambda fraction, block_rows: fraction == 0.3 or block_rows == 7,
        itertools.product([0.0, 0.3, 1.0], [1, 3, 7, 30, 64]),
    ),
)
def test_products_in_blocks_are_the_dense_gradient(block_rows, fraction):
    """Small integers multiply and add without rounding, and have many ties and zeros."""
    rng = np.random.default_rng(block_rows)
    x = rng.integers(-1, 2, (5, 30)).astype(np.float32)
    dy = rng.integers(-1, 2, (5, 20)).astype(np.float32)
    taken = rng.random(600) < 0.1
    k = int(fraction * (~taken).sum())
    rows = min(block_rows, 30)

    @tf.function
    def find(x, dy, taken, k):
        products = search.product_scores_from(x, dy, rows)
        return search.best_positions(
            lambda start: tf.abs(products(start)), 600, k, block=rows * 20, taken=taken
        )

    found = find(x, dy, tf.constant(np.flatnonzero(taken)), tf.constant(k))
    scores = np.abs(x.T @ dy).ravel()
    np.testing.assert_array_equal(found, np.flatnonzero(oracle.top(scores, k, ~taken)))


def test_random_scores_in_blocks_are_those_of_the_whole_kernel():
    step = tf.constant(2**40 + 3, tf.int64)
    scores = search.random_scores_from("a/kernel", 2**35, step, block=100)
    whole = random_scores((1000,), "a/kernel", 2**35, step).numpy()
    for start in (0, 100, 900):
        part = scores(tf.constant(start, tf.int64)).numpy()
        np.testing.assert_array_equal(part, whole[start : start + 100])


@hypothesis.given(seed=st.integers(0, 1000), weights=st.integers(1, 30), share=st.floats(0, 1))
@hypothesis.settings(max_examples=30, deadline=None)
def test_free_positions_are_drawn_without_repetition(seed, weights, share):
    size = 30
    k = int(weights * share)
    rng = np.random.default_rng(seed)
    taken = np.sort(rng.choice(size, weights - k, replace=False))
    found = search.draw_free_positions(
        size, tf.constant(k), taken=tf.constant(taken), path="a", seed=seed, step=1
    ).numpy()
    assert found.size == k == len(set(found.tolist()))
    assert not set(found.tolist()) & set(taken.tolist())
    assert (np.diff(found) > 0).all()
