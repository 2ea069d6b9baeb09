import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_tickets import schedules

FORMULAS = {
    "constant": (schedules.Constant(0.3), lambda p: 0.3 + 0 * p),
    "cosine": (schedules.Cosine(0.3), lambda p: 0.15 * (1 + np.cos(np.pi * p))),
    "linear": (schedules.Linear(0.5), lambda p: 0.5 * (1 - p)),
    "inverse_power": (schedules.InversePower(0.3), lambda p: 0.3 * (1 - p) ** 3),
    "inverse_power_2": (schedules.InversePower(0.9, 2), lambda p: 0.9 * (1 - p) ** 2),
    "exponential": (schedules.Exponential(0.4, decay_rate=0.25), lambda p: 0.4 * 0.25**p),
}
by_formula = pytest.mark.parametrize(
    "schedule, formula", list(FORMULAS.values()), ids=list(FORMULAS)
)
every_schedule = pytest.mark.parametrize(
    "schedule", [schedule for schedule, _ in FORMULAS.values()], ids=list(FORMULAS)
)


@by_formula
def test_follows_its_formula(schedule, formula):
    progress = np.linspace(0, 1, 201)
    fractions = schedule(progress)
    assert fractions.dtype == tf.float32
    np.testing.assert_allclose(fractions, formula(progress), rtol=1e-6, atol=1e-8)


def test_values_of_the_paper():
    # Annealing of 0.3 over T_end = 25,000 steps, at steps 0, 12,500 and 25,000.
    steps = np.array([0, 12_500, 25_000]) / 25_000
    np.testing.assert_allclose(schedules.Cosine(0.3)(steps), [0.3, 0.15, 0], atol=1e-8)
    np.testing.assert_allclose(schedules.InversePower(0.3, 1)(steps), [0.3, 0.15, 0], atol=1e-8)
    np.testing.assert_allclose(schedules.InversePower(0.3, 3)(steps), [0.3, 0.0375, 0], atol=1e-8)


@every_schedule
def test_progress_is_clipped(schedule):
    np.testing.assert_array_equal(schedule([-0.5, 1.5]), schedule([0.0, 1.0]))


@every_schedule
def test_fractions_are_the_same_in_eager_mode_graph_and_xla(schedule):
    progress = tf.constant(np.arange(0, 3000, 7) / 3000)
    want = schedule(progress)
    np.testing.assert_array_equal(tf.function(schedule.__call__)(progress), want)
    np.testing.assert_array_equal(tf.function(schedule.__call__, jit_compile=True)(progress), want)


@every_schedule
@settings(max_examples=30, deadline=None)
@given(progress=st.floats(0, 1))
def test_fractions_stay_below_1(schedule, progress):
    assert 0 <= float(schedule(progress)) <= np.float32(schedule.initial) < 1


@every_schedule
def test_survives_serialization(schedule):
    config = keras.saving.serialize_keras_object(schedule)
    assert config["registered_name"] == f"keras_tickets>{type(schedule).__name__}"
    copy = keras.saving.deserialize_keras_object(config)
    assert type(copy) is type(schedule) and copy.get_config() == schedule.get_config()
    assert repr(schedules.get(config)) == repr(schedule)


def test_repr_shows_the_arguments():
    assert repr(schedules.InversePower(0.3)) == "InversePower(initial=0.3, power=3.0)"


@pytest.mark.parametrize("number", [0.25, 0, np.float32(0.25)])
def test_get_takes_a_number_for_a_constant(number):
    schedule = schedules.get(number)
    assert isinstance(schedule, schedules.Constant)
    np.testing.assert_array_equal(schedule([0.0, 1.0]), [number, number])


def test_get_returns_a_schedule_as_it_is():
    schedule = schedules.Cosine(0.3)
    assert schedules.get(schedule) is schedule


def test_a_users_schedule_needs_only_a_formula():
    class Halves(schedules.Schedule):
        def fraction(self, progress):
            return tf.where(progress < 0.5, self.initial, self.initial / 2)

    np.testing.assert_array_equal(schedules.get(Halves(0.5))([0.0, 1.0]), [0.5, 0.25])
    with pytest.raises(TypeError, match="Schedule must define `fraction`"):
        schedules.Schedule(0.1)(0.5)


@pytest.mark.parametrize("value", [1, 1.0, -0.1, float("nan"), float("inf"), 1 - 1e-12])
def test_initial_outside_of_0_to_1_is_refused(value):
    for make in (schedules.Cosine, schedules.get):
        with pytest.raises(ValueError, match=r"`initial` must be a number in \[0, 1\).*initial="):
            make(value)


@pytest.mark.parametrize("value", ["0.3", None, True, [0.3]])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(TypeError, match="`initial` must be a number"):
        schedules.Linear(value)
    with pytest.raises(TypeError, match="must be a number in .* or an object of `kt.schedules`"):
        schedules.get(value)


@pytest.mark.parametrize("power", [0, -1, float("nan"), float("inf")])
def test_power_must_be_positive(power):
    with pytest.raises(ValueError, match="`power` must be a positive finite number.*power="):
        schedules.InversePower(0.3, power)


@pytest.mark.parametrize("rate", [0, 1.1, -1, float("nan")])
def test_decay_rate_must_be_a_share(rate):
    with pytest.raises(ValueError, match=r"`decay_rate` must be a number in \(0, 1\].*decay_rate="):
        schedules.Exponential(0.3, decay_rate=rate)
