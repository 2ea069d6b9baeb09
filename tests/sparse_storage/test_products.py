"""Products with a sparse kernel, by both engines, against NumPy's with the whole kernel."""

import threading
import time
import types

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_tickets import _sparse_storage
from keras_tickets._sparse_storage import Pattern, find_engine, multiply

ENGINES = ("tensorflow", "numba")
pytest.importorskip("numba")


def problem(seed, batch, inputs, units, count, dtype):
    """Positions and values, a batch, a gradient of its products, and the whole kernel."""
    rng = np.random.default_rng(seed)
    indices = np.sort(rng.choice(inputs * units, count, replace=False))
    values = rng.normal(size=count).astype(dtype)
    kernel = np.zeros(inputs * units, dtype)
    kernel[indices] = values
    x = rng.normal(size=(batch, inputs)).astype(dtype)
    dy = rng.normal(size=(batch, units)).astype(dtype)
    return indices, values, x, dy, kernel.reshape(inputs, units)


@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_products_and_gradients_are_those_of_the_whole_kernel(engine, data):
    # XLA compiles each shape of TensorFlow's engine anew.
    width, batch = (12, 9) if engine == "tensorflow" else (40, 70)
    inputs, units = data.draw(st.integers(1, width)), data.draw(st.integers(1, width))
    indices, values, x, dy, kernel = problem(
        seed=data.draw(st.integers(0, 2**16)),
        batch=data.draw(st.integers(0, batch)),
        inputs=inputs,
        units=units,
        count=data.draw(st.integers(1, inputs * units)),
        dtype=data.draw(st.sampled_from(["float32", "float64"])),
    )
    values, x = tf.constant(values), tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch([values, x])
        pattern = Pattern(tf.constant(indices), inputs, units)
        y = multiply(find_engine(engine), pattern, values, x)
    by_values, by_x = tape.gradient(y, [values, x], output_gradients=tf.constant(dy))
    close = {"rtol": 1e-4, "atol": 1e-4}
    np.testing.assert_allclose(y, x.numpy() @ kernel, **close)
    np.testing.assert_allclose(by_x, dy @ kernel.T, **close)
    np.testing.assert_allclose(by_values, (x.numpy().T @ dy).reshape(-1)[indices], **close)


@pytest.mark.parametrize("engine", ENGINES)
def test_second_derivatives_eagerly_and_in_a_graph_of_unknown_batch_size(engine):
    indices, values, x, dy, kernel = problem(0, 5, 7, 9, 20, "float64")
    pattern = Pattern(tf.constant(indices), 7, 9)

    def with_derivatives(product, values, x):
        with tf.GradientTape() as outer:
            outer.watch([values, x])
            with tf.GradientTape() as tape:
                tape.watch([values, x])
                loss = tf.reduce_sum(product(values, x) ** 2 * dy)
            first = tape.gradient(loss, [values, x])
            penalty = tf.add_n([tf.reduce_sum(part**3) for part in first])
        return outer.gradient(penalty, [values, x])

    def ours(values, x):
        engine_found = find_engine(engine)
        return with_derivatives(lambda v, x: multiply(engine_found, pattern, v, x), values, x)

    in_graph = tf.function(
        ours,
        input_signature=[tf.TensorSpec([20], tf.float64), tf.TensorSpec([None, 7], tf.float64)],
    )

    def whole(values):
        return tf.reshape(tf.scatter_nd(indices[:, None], values, [63]), (7, 9))

    expected = with_derivatives(lambda v, x: x @ whole(v), tf.constant(values), tf.constant(x))
    for run in (in_graph, ours):
        for found, wanted in zip(run(tf.constant(values), tf.constant(x)), expected, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-9)


def test_numba_sums_alike_however_the_work_is_divided(monkeypatch):
    engine = pytest.importorskip("keras_tickets._sparse_storage.numba_engine")
    indices, values, x, dy, _ = problem(1, 37, 50, 40, 600, "float32")
    found = set()
    for threads, parts, block in ((1, 1, 2048), (2, 8, 2048), (3, 7, 8)):
        monkeypatch.setattr(engine, "_THREADS", threads)
        monkeypatch.setattr(engine, "_PARTS", parts)
        monkeypatch.setattr(engine, "_BLOCK", block)
        pattern = engine.prepare(Pattern(tf.constant(indices), 50, 40))
        products = (
            engine.multiply(pattern, tf.constant(values), tf.constant(x)),
            engine.multiply_transposed(pattern, tf.constant(values), tf.constant(dy)),
            engine.sample(pattern, tf.constant(x), tf.constant(dy)),
        )
        found.add(b"".join(product.numpy().tobytes() for product in products))
    assert len(found) == 1


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_numba_keeps_what_is_not_finite_in_its_own_example(wrong):
    engine = find_engine("numba")
    indices, values, x, dy, kernel = problem(2, 19, 6, 5, 30, "float32")
    pattern = engine.prepare(Pattern(tf.constant(indices), 6, 5))
    x[3, 2] = dy[7, 4] = wrong
    for found, wanted in (
        (engine.multiply(pattern, tf.constant(values), tf.constant(x)), x @ kernel),
        (engine.multiply_transposed(pattern, tf.constant(values), tf.constant(dy)), dy @ kernel.T),
        (engine.sample(pattern, tf.constant(x), tf.constant(dy)), (x.T @ dy).reshape(-1)),
    ):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("indices", [[3, 1], [1, 1], [-1, 2], [0, 6]])
def test_numba_never_leaves_the_kernel(indices):
    pattern = Pattern(tf.constant(indices, tf.int64), 2, 3)
    with pytest.raises(ValueError, match="must be ascending"):
        multiply(find_engine("numba"), pattern, tf.ones(2), tf.ones((4, 2)))


def test_numba_products_take_turns():
    """Each uses all cores."""
    engine = pytest.importorskip("keras_tickets._sparse_storage.numba_engine")
    running, most = 0, 0

    def product(*arguments):
        nonlocal running, most
        running += 1
        most = max(most, running)
        time.sleep(0.01)
        running -= 1

    callers = [threading.Thread(target=engine._run, args=(product, 1, 1)) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert most == 1


def test_auto_takes_numba_where_it_is_installed(monkeypatch):
    engines = _sparse_storage.engines
    assert find_engine("auto") is find_engine("numba")
    monkeypatch.setattr(engines, "_numba_installed", lambda: False)
    assert find_engine("auto") is find_engine("tensorflow")


def test_numba_is_refused_on_several_replicas(monkeypatch):
    strategy = types.SimpleNamespace(num_replicas_in_sync=2)
    monkeypatch.setattr(tf.distribute, "get_strategy", lambda: strategy)
    assert find_engine("auto") is find_engine("tensorflow")
    with pytest.raises(ValueError, match="works on one replica.*Received: 2 replicas"):
        find_engine("numba")


@pytest.mark.parametrize("engine", _sparse_storage.ENGINES)
def test_xla_is_refused(engine):
    @tf.function(jit_compile=True)
    def compiled(x):
        return multiply(find_engine(engine), Pattern(tf.constant([0]), 1, 1), tf.ones(1), x)

    with pytest.raises(ValueError, match="XLA cannot compile sparse storage"):
        compiled(tf.ones((2, 1)))


@pytest.mark.parametrize("engine", ENGINES)
def test_products_are_the_same_bit_for_bit_at_every_call(engine):
    """Sums of many numbers, on several threads: their order must not change."""
    indices, values, x, dy, _ = problem(0, 64, 200, 100, 4000, "float32")
    found = find_engine(engine)
    pattern = found.prepare(Pattern(tf.constant(indices), 200, 100))
    products = {
        "multiply": lambda: found.multiply(pattern, tf.constant(values), tf.constant(x)),
        "transposed": lambda: found.multiply_transposed(
            pattern, tf.constant(values), tf.constant(dy)
        ),
        "sample": lambda: found.sample(pattern, tf.constant(x), tf.constant(dy)),
    }
    for name, product in products.items():
        assert len({product().numpy().tobytes() for _ in range(40)}) == 1, name
