import itertools
import math
import re

import hypothesis
import hypothesis.extra.numpy as np_strategies
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st
from slow_cases import slow_unless

from keras_tickets._selection import exact

SPECIAL = [0.0, -0.0, 1.0, -1.0, 2.5, -2.5, np.inf, -np.inf, np.nan, -np.nan]
DENORMAL = [1e-45, -1e-45, 3e-39, 3.1e-39, -3e-39, 1.1754944e-38]
BODIES = ["histogram", "bit_search"]


def expected(scores, k, among=None):
    """The `k` best by a stable sort in float64, where no denormal is lost."""
    flat = np.asarray(scores, np.float32).ravel().astype(np.float64)
    allowed = np.ones(flat.size, bool) if among is None else np.ravel(among)
    rank = np.where(np.isnan(flat), np.inf, -flat)
    order = np.lexsort((np.isnan(flat), rank, ~allowed))
    k = max(0, min(int(k), int(allowed.sum())))
    chosen = np.zeros(flat.size, bool)
    chosen[order[:k]] = True
    return chosen.reshape(np.shape(scores))


@st.composite
def choices(draw):
    shape = draw(np_strategies.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=6))
    elements = draw(
        st.sampled_from(
            [
                st.floats(width=32),
                st.floats(0, 1, width=32),
                st.sampled_from([0.0, 1.0]),
                st.sampled_from(SPECIAL),
                st.sampled_from(SPECIAL + DENORMAL),
            ]
        )
    )
    scores = draw(np_strategies.arrays(np.float32, shape, elements=elements))
    among = draw(st.none() | np_strategies.arrays(np.bool_, shape))
    return scores, draw(st.integers(-1, scores.size + 2)), among


@pytest.mark.parametrize("method", BODIES)
@hypothesis.given(case=choices())
@hypothesis.settings(max_examples=30, deadline=None)
def test_chooses_as_a_stable_sort_does(method, case):
    scores, k, among = case
    chosen = exact.choose(scores, k, among=among, method=method).numpy()
    np.testing.assert_array_equal(chosen, expected(scores, k, among))


def compiled(shape, method, jit_compile, masked):
    signature = [tf.TensorSpec(shape), tf.TensorSpec([], tf.int32), tf.TensorSpec(shape, tf.bool)]

    @tf.function(jit_compile=jit_compile, input_signature=signature)
    def run(scores, k, among):
        return exact.choose(scores, k, among=among if masked else None, method=method)

    return run


# 1100 and 2**20 lie on both sides of the sizes at which rows and histograms change their form.
@pytest.mark.parametrize(
    "shape, masked",
    slow_unless(
        lambda shape, masked: masked or not shape,
        itertools.product([(), (1,), (7, 3), (5, 4, 11, 5), (1100,)], [False, True]),
    ),
)
def test_bodies_agree_in_graph_and_under_xla(shape, masked):
    rng = np.random.default_rng(3)
    functions = [
        compiled(shape, "histogram", False, masked),
        compiled(shape, "bit_search", False, masked),
        compiled(shape, "bit_search", True, masked),
    ]
    size = math.prod(shape)
    kinds = [
        rng.normal(size=shape),
        np.abs(rng.normal(size=shape)),
        rng.integers(0, 3, size=shape),
        np.zeros(shape),
        rng.choice(SPECIAL + DENORMAL, size=shape),
    ]
    for scores in kinds:
        scores = np.asarray(scores, np.float32)
        among = np.asarray(rng.random(shape) < 0.4)
        for k in {-3, 0, 1, size // 10, size // 2, size - 1, size, size + 5}:
            want = expected(scores, k, among if masked else None)
            for function in functions:
                np.testing.assert_array_equal(function(scores, k, among), want)
    assert all(function.experimental_get_tracing_count() == 1 for function in functions)


@pytest.mark.parametrize("method", BODIES)
@pytest.mark.parametrize(
    "levels",
    slow_unless(lambda levels: levels == 1000, [2, 1000, None]),
    ids=["many_ties", "some_ties", "no_ties"],
)
def test_chooses_from_more_than_a_million(method, levels):
    rng = np.random.default_rng(4)
    scores = np.abs(rng.normal(size=(3, 3, 300, 400))) if levels is None else None
    if scores is None:
        scores = rng.integers(0, levels, size=(3, 3, 300, 400)) / levels
    scores = scores.astype(np.float32)
    among = rng.random(scores.shape) < 0.9
    run = compiled(scores.shape, method, False, True)
    for k in (12_345, 700_000):
        np.testing.assert_array_equal(run(scores, k, among), expected(scores, k, among))


@pytest.mark.parametrize("method", BODIES)
def test_denormals_rank_by_value_where_the_device_flushes_them(method):
    scores = np.float32([3e-39, 0.0, 3.1e-39, -3e-39, 1e-45, -1e-45])
    chosen = {1: [2], 2: [0, 2], 3: [0, 2, 4], 4: [0, 1, 2, 4], 5: [0, 1, 2, 4, 5]}
    for jit_compile in (False, True):
        run = compiled(scores.shape, method, jit_compile, False)
        for k, positions in chosen.items():
            mask = run(scores, k, np.ones(scores.shape, bool))
            assert np.flatnonzero(mask).tolist() == positions


@pytest.mark.parametrize("method", BODIES)
def test_zeros_of_both_signs_are_equal_and_nans_are_last(method):
    scores = [np.nan, -np.inf, -0.0, 0.0, -np.nan, -0.0]
    order = [2, 3, 5, 1, 0, 4]
    for k in range(7):
        chosen = exact.choose(scores, k, method=method)
        assert np.flatnonzero(chosen).tolist() == sorted(order[:k])


@pytest.mark.parametrize("method", BODIES)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_float_types_are_compared_in_float32(method, dtype):
    scores = tf.cast(np.random.default_rng(5).normal(size=(40, 7)), dtype)
    want = expected(tf.cast(scores, tf.float32).numpy(), 60)
    np.testing.assert_array_equal(exact.choose(scores, 60, method=method), want)


@pytest.mark.parametrize("method", BODIES)
@hypothesis.given(case=choices())
@hypothesis.settings(max_examples=25, deadline=None)
def test_kth_largest_is_the_kth_of_a_sort(method, case):
    scores, k, among = case
    hypothesis.assume(scores.size > 0)
    allowed = scores.ravel() if among is None else scores[among]
    descending = np.sort(np.where(np.isnan(allowed), -np.inf, allowed).astype(np.float64))[::-1]
    nans = int(np.isnan(allowed).sum())
    rank = max(k, 1)
    value = exact.kth_largest(scores, k, among=among, method=method).numpy()
    assert value.dtype == np.float32
    if rank > allowed.size - nans:
        assert np.isnan(value)
    else:
        assert float(value) == descending[rank - 1]


def compiled_rows(shape, jit_compile, masked, each):
    signature = [
        tf.TensorSpec(shape),
        tf.TensorSpec(shape[:1] if each else [], tf.int32),
        tf.TensorSpec(shape, tf.bool),
    ]

    @tf.function(jit_compile=jit_compile, input_signature=signature)
    def run(scores, k, among):
        return exact.choose_rows(scores, k, among=among if masked else None)

    return run


# Rows of 16 and 17 lie on both sides of the length at which the body changes.
@pytest.mark.parametrize(
    "shape, masked, each",
    slow_unless(
        lambda shape, masked, each: masked == each == (shape[0] > 1 and shape != (5, 17)),
        itertools.product(
            [(1, 1), (7, 4), (5, 16), (5, 17), (1, 300), (40, 65)], [False, True], [False, True]
        ),
    ),
)
def test_chooses_from_each_row_as_a_stable_sort_does(shape, masked, each):
    rng = np.random.default_rng(6)
    functions = [compiled_rows(shape, jit, masked, each) for jit in (False, True)]
    columns = shape[1]
    kinds = [
        rng.normal(size=shape),
        rng.integers(0, 3, size=shape),
        np.zeros(shape),
        rng.choice(SPECIAL + DENORMAL, size=shape),
    ]
    for scores in kinds:
        scores = np.asarray(scores, np.float32)
        among = rng.random(shape) < 0.4
        for least in (-2, 0, 1, columns // 2, columns, columns + 3):
            k = rng.integers(-2, columns + 3, shape[0]) if each else least
            want = [
                expected(
                    scores[row], np.broadcast_to(k, shape[0])[row], among[row] if masked else None
                )
                for row in range(shape[0])
            ]
            for function in functions:
                np.testing.assert_array_equal(function(scores, k, among), want)


def test_rows_without_columns_have_nothing_to_choose():
    assert exact.choose_rows(tf.zeros((3, 0)), 2).shape == (3, 0)
    assert exact.choose_rows(tf.zeros((0, 3)), 2).shape == (0, 3)


@pytest.mark.parametrize(
    "error, words, scores, k, options",
    [
        (ValueError, r"`scores` must have rank 2.*\(3,\)", [1.0, 2.0, 3.0], 1, {}),
        (TypeError, "`scores` must be floating point.*int32", [[1, 2]], 1, {}),
        (TypeError, "`k` must be an integer.*float32", [[1.0, 2.0]], 0.5, {}),
        (ValueError, r"`k` must be a scalar or .* 1 rows.*\(2,\)", [[1.0, 2.0]], [1, 2], {}),
        (TypeError, "`among` must be boolean.*float32", [[1.0]], 1, {"among": [[1.0]]}),
        (ValueError, "`among` must have the shape", [[1.0]], 1, {"among": [True]}),
    ],
)
def test_wrong_arguments_for_rows_are_named(error, words, scores, k, options):
    with pytest.raises(error, match=words):
        exact.choose_rows(scores, k, **options)


def test_compiled_search_has_static_shapes_and_calls_nothing_on_the_host():
    run = compiled((300, 100), "bit_search", True, True)
    arguments = np.zeros((300, 100), np.float32), 5, np.ones((300, 100), bool)
    text = run.experimental_get_compiler_ir(*arguments)(stage="hlo")
    assert "while" in text and "pred[300,100]" in text
    assert "custom-call" not in text and "sort" not in text
    assert not re.search(r"infeed|outfeed|\bsend|\brecv|<=\d", text)
    assert "f64" not in text


def test_nothing_is_sorted_and_float64_is_not_used():
    for method in BODIES:
        graph = compiled((30, 10), method, False, True).get_concrete_function().graph
        operations = graph.get_operations() + [
            node for function in graph.as_graph_def().library.function for node in function.node_def
        ]
        assert not {getattr(o, "type", None) or o.op for o in operations} & {"TopKV2", "TopK"}
        assert "DT_DOUBLE" not in str(graph.as_graph_def())


@pytest.mark.parametrize("method", BODIES)
def test_an_empty_tensor_has_nothing_to_choose(method):
    assert exact.choose(tf.zeros((3, 0)), 2, method=method).shape == (3, 0)
    with pytest.raises(ValueError, match="`scores` must not be empty"):
        exact.kth_largest(tf.zeros((3, 0)), 2, method=method)


@pytest.mark.parametrize(
    "error, words, scores, k, options",
    [
        (TypeError, "`scores` must be floating point.*int32", [1, 2], 1, {}),
        (TypeError, "`k` must be an integer.*float32", [1.0, 2.0], 0.5, {}),
        (ValueError, r"`k` must be a scalar.*\(2,\)", [1.0, 2.0], [1, 2], {}),
        (ValueError, "`method` must be one of.*'sort'", [1.0], 1, {"method": "sort"}),
        (TypeError, "`among` must be boolean.*float32", [1.0], 1, {"among": [1.0]}),
        (ValueError, "`among` must have the shape", [1.0], 1, {"among": [True, False]}),
    ],
)
def test_wrong_arguments_are_named(error, words, scores, k, options):
    for function in (exact.choose, exact.kth_largest):
        with pytest.raises(error, match=words):
            function(scores, k, **options)


def test_an_unknown_shape_is_refused():
    run = tf.function(
        lambda scores: exact.choose(scores, 1), input_signature=[tf.TensorSpec([None])]
    )
    with pytest.raises(ValueError, match="`scores` must have a static shape"):
        run(tf.zeros(3))
