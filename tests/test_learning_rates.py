import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_tickets as kt
from keras_tickets.learning_rates import Warmup

schedules = keras.optimizers.schedules
STEPS = np.array([0, 1, 7, 99, 100, 101, 150, 151, 10_000, 2**40], "int64")


def drops():
    return schedules.PiecewiseConstantDecay([50, 150], [0.1, 0.01, 0.001])


def expected(step, warmup=100):
    rate = 0.1 if step <= 50 else 0.01 if step <= 150 else 0.001
    return rate * min(step / warmup, 1)


def test_follows_its_formula_in_eager_mode_graph_and_xla():
    rate = Warmup(drops(), 100)
    want = [expected(int(step)) for step in STEPS]
    for call in (rate, tf.function(rate.__call__), tf.function(rate.__call__, jit_compile=True)):
        values = [call(tf.constant(step)) for step in STEPS]
        assert all(value.dtype == tf.float32 and value.shape == () for value in values)
        np.testing.assert_allclose(values, want, rtol=1e-6)


@settings(max_examples=30, deadline=None)
@given(steps=st.integers(1, 10**6), step=st.integers(0, 2 * 10**6), rate=st.floats(1e-6, 10))
def test_a_constant_rate_is_reached_and_kept(steps, step, rate):
    value = float(Warmup(rate, steps)(step))
    np.testing.assert_allclose(value, rate * min(step / steps, 1), rtol=1e-5)


def test_agrees_with_the_warmup_that_keras_has():
    theirs = schedules.CosineDecay(0.0, 1000, warmup_target=0.3, warmup_steps=40)
    ours = Warmup(0.3, 40)
    for step in range(41):
        np.testing.assert_allclose(float(ours(step)), float(theirs(step)), rtol=1e-6)


@pytest.mark.parametrize("schedule", [0.25, drops()], ids=["constant", "schedule"])
def test_survives_serialization(schedule):
    rate = Warmup(schedule, 100)
    config = schedules.serialize(rate)
    assert config["registered_name"] == "keras_tickets>Warmup"
    copy = schedules.deserialize(config)
    assert type(copy) is Warmup and copy.get_config() == rate.get_config()
    assert [float(copy(step)) for step in STEPS] == [float(rate(step)) for step in STEPS]


def test_a_sparse_optimizer_uses_it_and_is_saved_with_it(tmp_path):
    model = kt.sparsify(keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]), 0.5)
    inner = keras.optimizers.SGD(Warmup(drops(), 10))
    model.compile(kt.optimizers.Static(inner), "mse", steps_per_execution=2)
    x, y = np.ones((8, 4), "float32"), np.ones((8, 3), "float32")
    start = model.get_weights()
    model.fit(x, y, batch_size=8, epochs=1, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(start, model.get_weights(), strict=True))
    model.fit(x, y, batch_size=2, epochs=1, verbose=0)
    assert not all(np.array_equal(a, b) for a, b in zip(start, model.get_weights(), strict=True))
    assert float(inner.learning_rate) == pytest.approx(0.1 * 5 / 10)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert float(loaded.optimizer.inner_optimizer.learning_rate) == float(inner.learning_rate)


@pytest.mark.parametrize("steps", [0, -5, 2.5, True, "10"])
def test_steps_that_are_no_positive_integer_are_refused(steps):
    with pytest.raises(ValueError, match="`steps` must be a positive integer.*steps="):
        Warmup(0.1, steps)


@pytest.mark.parametrize("schedule", ["cosine", None, True, lambda step: 0.1])
def test_what_is_no_schedule_is_refused(schedule):
    with pytest.raises(TypeError, match="`schedule` must be a Keras learning rate schedule"):
        Warmup(schedule, 10)
