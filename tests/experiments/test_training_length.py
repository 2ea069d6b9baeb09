"""Schedules follow the length of training, and one that does not is said."""

import re

import keras
import pytest
import wikitext

from keras_tickets.experiments import configurations
from keras_tickets.experiments.gin_files import read_experiment
from keras_tickets.experiments.training_length import (
    scaled_steps,
    stretched,
    total_steps,
    training_of,
    warn_of_other_length,
)
from keras_tickets.learning_rates import Warmup

schedules = keras.optimizers.schedules
RECIPES = [name for name in configurations.installed() if name.endswith("base.gin")]


def rates(name, *parameters):
    """The learning rates at the start, before the end and at shares of the whole in between."""
    experiment = read_experiment([name], parameters)
    total = experiment.total_steps
    with training_of(total):
        schedule = experiment.optimizer().get_config()["learning_rate"]
    if not isinstance(schedule, dict):
        return total, None
    rate = keras.saving.deserialize_keras_object(schedule)
    return total, [float(rate(round(total * share))) for share in (0.02, 0.2, 0.4, 0.7, 0.85, 0.99)]


@pytest.fixture(autouse=True)
def wikitext_here(tmp_path, monkeypatch):
    wikitext.write(tmp_path)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", RECIPES)
def test_a_shorter_training_has_the_same_schedule_in_less_time(name):
    whole, expected = rates(name)
    epochs = read_experiment([name]).epochs
    shorter, found = rates(name, f"train.epochs={epochs // 2}")
    assert shorter < 0.6 * whole
    if expected is not None:
        assert found == pytest.approx(expected, rel=0.05, abs=1e-4)


def test_a_schedule_that_is_set_is_left_alone():
    parameters = ["train.epochs=5", "CosineDecay.decay_steps=999"]
    experiment = read_experiment(["digits/dense.gin"], parameters)
    with training_of(experiment.total_steps):
        config = experiment.optimizer().get_config()["learning_rate"]["config"]
    assert config["decay_steps"] == 999


@pytest.mark.parametrize(
    "parameters, steps",
    [
        ([], 60 * 22),
        (["train.epochs=5"], 5 * 22),
        (["train.steps_per_epoch=7"], 60 * 7),
        (["train.batch_size=200"], 60 * 7),
        (["train.validation=0.1"], 60 * 20),
    ],
)
def test_the_total_is_what_the_data_set_gives(parameters, steps):
    experiment = read_experiment(["digits/dense.gin"], parameters)
    assert experiment.total_steps == steps
    assert experiment.epochs * experiment.load_data().steps_per_epoch == steps


def test_steps_outside_of_a_training():
    with pytest.raises(RuntimeError, match="only while an experiment makes its optimizer"):
        total_steps()
    with training_of(63_000):
        assert scaled_steps([32_000, 48_000], of=63_000) == [32_000, 48_000]
        assert scaled_steps(1, of=1_000_000) == 1


@pytest.mark.parametrize(
    "schedule, ends",
    [
        (schedules.CosineDecay(0.1, 1320), "CosineDecay ends at step 1,320"),
        (schedules.CosineDecay(0.1, 50), "CosineDecay ends at step 50"),
        (schedules.CosineDecay(0.1, 60, warmup_target=0.2, warmup_steps=45), None),
        (schedules.PolynomialDecay(0.1, 300), "PolynomialDecay ends at step 300"),
        (schedules.PolynomialDecay(0.1, 300, cycle=True), None),
        (schedules.PiecewiseConstantDecay([50, 75], [1.0, 0.1, 0.01]), None),
        (schedules.PiecewiseConstantDecay([50, 200], [1.0, 0.1, 0.01]), "ends at step 200"),
        (Warmup(schedules.CosineDecay(0.1, 900), 20), "CosineDecay ends at step 900"),
        (Warmup(0.1, 500), "Warmup ends at step 500"),
        (schedules.ExponentialDecay(0.1, 10, 0.9), None),
        (0.1, None),
    ],
)
def test_a_schedule_of_another_length_is_said(schedule, ends, recwarn):
    warn_of_other_length(keras.optimizers.SGD(schedule), 110)
    warnings = [str(warning.message) for warning in recwarn]
    assert (warnings == []) if ends is None else (len(warnings) == 1 and ends in warnings[0])


def test_an_experiment_says_it(recwarn):
    parameters = ["train.epochs=1", "train.steps_per_epoch=2", "CosineDecay.decay_steps=1320"]
    experiment = read_experiment(["digits/rigl.gin"], parameters)
    experiment.procedure.make(experiment, None)
    assert any("ends at step 1,320, and training at step 2" in str(w.message) for w in recwarn)


@pytest.mark.parametrize("name", ["cifar10/wrn22_2_rigl.gin", "imagenet/mobilenet_v1_rigl.gin"])
def test_stretching_moves_the_horizon_the_drops_and_the_updates(name, recwarn):
    base = name.replace("_rigl", "_base")
    whole, expected = rates(base)
    longer, found = rates(base, "train.stretch=5")
    assert longer == 5 * whole and found == pytest.approx(expected, rel=1e-3)
    experiment = read_experiment([name], ["train.stretch=5"])
    optimizer = experiment.make_optimizer()
    assert optimizer.update_every == 100
    assert optimizer.end.resolve(longer) == pytest.approx(5 * optimizer.end.resolve(whole), abs=5)
    assert not [w for w in recwarn if "stretch" in str(w.message)]


def test_stretching_moves_drops_that_are_scaled_steps():
    experiment = read_experiment(["mnist/lenet_sgd_rigl.gin"], ["train.stretch=2"])
    optimizer = experiment.make_optimizer()
    assert (experiment.epochs, optimizer.end.value) == (400, 100_000)
    boundaries = optimizer.get_config()["inner"]["config"]["learning_rate"]["config"]["boundaries"]
    assert boundaries == [90_000, 114_000]


@pytest.mark.parametrize(
    "parameter, said",
    [
        ("RigL.end=990", "RigL.end = 990|^train.stretch does not move end = 990"),
        ("RigL.begin='2ep'", "begin = '2ep'"),
        ("CosineDecay.decay_steps=2640", "CosineDecay.decay_steps = 2640"),
        ("RigL.end='80%'", None),
    ],
)
def test_points_in_training_that_do_not_stretch_are_said(parameter, said, recwarn):
    experiment = read_experiment(["digits/rigl.gin"], ["train.stretch=2", parameter])
    experiment.make_optimizer()
    warnings = [str(w.message) for w in recwarn if "train.stretch" in str(w.message)]
    assert len(warnings) == (said is not None)
    assert said is None or re.search(said, warnings[0])


def test_stretched_epochs():
    assert [stretched(5, stretch) for stretch in (1, 2.0, 0.5, 0.01)] == [5, 10, 2, 1]
    with pytest.raises(ValueError, match="`stretch` must be a positive finite number.*stretch=0"):
        stretched(5, 0)
