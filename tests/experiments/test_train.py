import csv
import math

import keras
import numpy as np
import pytest
from slow_cases import slow_unless

import keras_tickets as kt
from keras_tickets import models, optimizers
from keras_tickets.experiments import settings
from keras_tickets.experiments.procedures import Distill, Fit, Tickets
from keras_tickets.experiments.train import train
from keras_tickets.experiments.work_directory import WorkDirectory
from keras_tickets.model import SparseModel


def experiment(**changes):
    def optimizer():
        return optimizers.SET(keras.optimizers.SGD(0.1), update_every=3)

    usual = {
        "dataset": "digits",
        "model": models.lenet_300_100,
        "optimizer": optimizer,
        "epochs": 2,
        "batch_size": 300,
        "sparsity": 0.8,
    }
    return settings.train(**{**usual, **changes})


def made(experiment):
    """The compiled model of a single training."""
    return experiment.procedure.make(experiment, None)


def dense_optimizer():
    return keras.optimizers.SGD(0.1)


def weights(model):
    return [np.asarray(variable.value) for variable in model.variables]


def test_the_seed_decides_weights_and_masks():
    first, again = made(experiment(seed=3)), made(experiment(seed=3))
    other = made(experiment(seed=4))
    assert all(np.array_equal(a, b) for a, b in zip(weights(first), weights(again), strict=True))
    assert not np.array_equal(first.masks["fc1/kernel"], other.masks["fc1/kernel"])
    assert (first.optimizer.seed, other.optimizer.seed) == (3, 4)


def test_plan_is_what_the_model_gets():
    planned, model = experiment().plan(), made(experiment())
    assert {row.path: row.nonzeros for row in planned.rows} == {
        path: mask.sum() for path, mask in model.masks.items()
    }


def test_dense_experiment():
    dense = experiment(sparsity=None, optimizer=dense_optimizer)
    model = made(dense)
    assert model.masks == {} and model.sparsity == 0
    assert sum(row.size for row in dense.plan_of(model).rows) == 50_200


@pytest.mark.slow
def test_a_run_resumed_with_more_time_equals_one_in_a_piece(tmp_path, monkeypatch):
    whole = train(experiment(epochs=4), tmp_path / "whole", verbose=0)

    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                raise KeyboardInterrupt

    original = SparseModel.fit

    def interrupted(self, *args, callbacks, **kwargs):
        return original(self, *args, callbacks=[*callbacks, Stop()], **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(SparseModel, "fit", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(experiment(epochs=4), tmp_path / "parts", verbose=0)
    parts = train(experiment(epochs=4), tmp_path / "parts", verbose=0)
    timed = {"wall_seconds", "steps_per_second"}
    assert {k: v for k, v in whole.items() if k not in timed} == {
        k: v for k, v in parts.items() if k not in timed
    }
    with open(tmp_path / "parts" / "metrics.csv") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2", "3", "4"]
    for name in ("topology.csv", "topology.safetensors"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize(
    "method", slow_unless(lambda method: method != "static", ["dense", "static", "rigl"])
)
def test_summary_of_each_method(method, tmp_path):
    def rigl():
        return optimizers.RigL(keras.optimizers.SGD(0.1), update_every=2)

    optimizer = rigl if method == "rigl" else dense_optimizer
    sparsity = None if method == "dense" else 0.8
    run = experiment(epochs=1, sparsity=sparsity, optimizer=optimizer)
    summary = train(run, tmp_path / method, verbose=0)
    assert (summary["method"], summary["experiment"]) == (method, f"digits/{method}")
    assert summary["steps"] == 4 and summary["wall_seconds"] > 0
    if method == "rigl":
        assert summary["training_flops_ratio"] > summary["inference_flops_ratio"]
    else:
        assert summary["training_flops_ratio"] == summary["inference_flops_ratio"]


def test_the_summary_holds_the_configuration_and_versions(tmp_path):
    config = "train.seed = 0\nRigL.inner = @SGD()\nSGD.momentum = 0.9\n"
    run = experiment(epochs=1, steps_per_epoch=1)
    summary = train(run, tmp_path / "a", describe=lambda: config, verbose=0)
    assert summary["config"] == {"train.seed": 0, "RigL.inner": "@SGD()", "SGD.momentum": 0.9}
    assert summary["versions"]["keras"] == keras.__version__
    assert summary["versions"]["keras_tickets"] == kt.__version__
    assert (summary["chosen_on"], summary["held_out"]) == ("test", 0)


def test_with_a_hold_out_the_test_set_is_read_once(tmp_path, monkeypatch):
    read, original = [], kt.data.Dataset.test
    monkeypatch.setattr(kt.data.Dataset, "test", lambda self: read.append(1) or original(self))
    summary = train(experiment(validation=0.2), tmp_path, verbose=0)
    assert len(read) == 1 and summary["held_out"] == 288
    model = keras.models.load_model(tmp_path / "model.keras")
    model.compile(metrics=["accuracy"])
    with open(tmp_path / "metrics.csv") as file:
        logged = float(list(csv.DictReader(file))[-1]["val_accuracy"])
    digits = kt.data.load("digits", validation=0.2)
    found = model.evaluate(digits.validation(), verbose=0, return_dict=True)["accuracy"]
    assert logged == pytest.approx(found, abs=1e-6) != summary["test_accuracy"]


@pytest.mark.slow
def test_exploration_is_in_the_metrics_and_the_summary(tmp_path):
    def optimizer():
        inner = keras.optimizers.SGD(0.1)
        return optimizers.SET(inner, update_every=2, track_exploration=True)

    summary = train(experiment(optimizer=optimizer), tmp_path, verbose=0)
    with open(tmp_path / "metrics.csv") as file:
        logged = [float(row["exploration"]) for row in csv.DictReader(file)]
    assert 0.2 < logged[0] < logged[1] == summary["exploration"] < 1


@pytest.mark.slow
def test_a_ramp_is_in_the_training_flops(tmp_path):
    run = experiment(optimizer=lambda: optimizers.GradualMagnitude(dense_optimizer()), mask="ones")
    summary = train(run, tmp_path, verbose=0)
    assert summary["inference_flops_ratio"] < summary["training_flops_ratio"] < 1


@pytest.mark.parametrize(
    "changes, error, message",
    [
        ({"dataset": "mnits"}, ValueError, "'mnits'"),
        ({"epochs": 0}, ValueError, "`epochs` must be a positive integer. Received: epochs=0"),
        ({"epochs": 1.5}, ValueError, "`epochs`"),
        ({"steps_per_execution": 0}, ValueError, "`steps_per_execution`"),
        ({"strategy": "many"}, ValueError, "`strategy` must be one of .'none', 'mirrored'"),
        ({"replicas": 2}, ValueError, "`replicas` is for strategy="),
        ({"optimizer": "sgd"}, TypeError, "`optimizer` must be a function .* optimizer='sgd'"),
        ({"model": None}, TypeError, "`model` must be a function"),
        ({"validation": 1.0}, ValueError, "`validation` must be a number in"),
        ({"jit_compile": "x"}, TypeError, "`jit_compile` must be True or False"),
        ({"scope": 5}, ValueError, "`scope` must be one of"),
        ({"sparsity": None, "scores": kt.scoring.snip}, ValueError, "`scores` needs `sparsity`"),
        ({"sparsity": None, "ticket": 0}, TypeError, "`ticket` must be a string"),
        ({"procedure": Tickets, "sparsity": None}, TypeError, "`procedure` must be an object"),
    ],
)
def test_bad_experiments(changes, error, message):
    with pytest.raises(error, match=message):
        experiment(**changes)


CONFIG = """
# A comment = no setting
train.epochs = 3
SGD.learning_rate = \\
    @CosineDecay()
train.values = [
    1,
    2,
]
"""


def test_configurations_are_compared_setting_by_setting(tmp_path):
    directory = WorkDirectory(tmp_path)
    assert directory.open(CONFIG) is None
    directory.begin(CONFIG)
    same = "SGD.learning_rate = @CosineDecay()\ntrain.values = [ 1, 2, ]\n\ntrain.epochs = 3"
    assert directory.open(same.replace(" ]", "\n]").replace("[ 1, 2,", "[\n  1,\n  2,")) is None
    with pytest.raises(ValueError, match="train.epochs is 4, was 3[.]"):
        directory.open(CONFIG.replace("epochs = 3", "epochs = 4"))
    with pytest.raises(ValueError, match="train.seed is 1, was not set"):
        directory.open(CONFIG + "train.seed = 1\n")
    with pytest.raises(ValueError, match="SGD.learning_rate is 0.1, was @CosineDecay"):
        directory.open(CONFIG.replace("\\\n    @CosineDecay()", "0.1"))


def test_damaged_summary_is_named(tmp_path):
    directory = WorkDirectory(tmp_path)
    directory.open("")
    directory.begin("")
    directory.finish({"steps": 1, "test_accuracy": 0.5})
    assert directory.open("") == {"steps": 1, "test_accuracy": 0.5}
    (tmp_path / "summary.json").write_text('{"steps"')
    with pytest.raises(ValueError, match="summary.json' is damaged"):
        directory.open("")


@pytest.mark.parametrize("procedure", [Fit(), Tickets(levels=1)], ids=["fit", "tickets"])
def test_a_validation_loss_that_is_never_finite_is_said_so(procedure, tmp_path, monkeypatch):
    def evaluate(self, *args, **kwargs):
        return {"loss": math.nan, "accuracy": 0.1}

    monkeypatch.setattr(SparseModel, "evaluate", evaluate)
    with pytest.warns(UserWarning, match="not saved"), pytest.raises(ValueError, match="finite"):
        train(experiment(sparsity=None, optimizer=dense_optimizer, procedure=procedure), tmp_path)
    assert not (tmp_path / "summary.json").exists()


def test_two_processes_that_write_one_directory_leave_each_other_alone(tmp_path):
    """The second writes all of its file while the first is at it."""

    class Model:
        def __init__(self, content, meanwhile=lambda: None):
            self.content, self.meanwhile = content, meanwhile

        def save(self, path):
            path.write_text(self.content)
            self.meanwhile()

    first, second = WorkDirectory(tmp_path), WorkDirectory(tmp_path)
    first.save_model(Model("first", lambda: second.save_model(Model("second"))))
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]
    assert (tmp_path / "model.keras").read_text() == "first"


@pytest.mark.parametrize("procedure", [Tickets(levels=1), Distill(sparsity=0.9)])
def test_what_is_of_a_single_training_is_refused_where_there_are_levels(procedure):
    with pytest.raises(ValueError, match="`sparsity` is of a single training, .* sparsity=0.8"):
        experiment(procedure=procedure, optimizer=dense_optimizer)
