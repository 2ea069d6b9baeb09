"""`train.mixed_precision` and `train.label_smoothing`."""

import json
import re

import keras
import pytest

from keras_tickets import losses
from keras_tickets.experiments import cli
from keras_tickets.experiments.gin_files import read_experiment


def settings(*parameters):
    return [f"--gin_param={parameter}" for parameter in parameters]


def test_labels_are_smoothed_in_the_usual_loss():
    experiment = read_experiment(["digits/rigl.gin"], ["train.label_smoothing=0.1"])
    loss = experiment.make_loss()
    assert isinstance(loss, losses.SmoothedLabels) and loss.label_smoothing == 0.1
    experiment.plan()  # the model fits it


@pytest.mark.parametrize(
    "parameters, message",
    [
        (["train.label_smoothing=0.1", "train.loss='mse'"], "leave `loss` unset.*loss='mse'"),
        (["train.label_smoothing=1.0"], "`label_smoothing` must be"),
        (["train.mixed_precision='half'"], "`mixed_precision` must be one of .*'half'"),
        (["train.stretch=-1"], "`stretch` must be a positive finite number"),
    ],
)
def test_wrong_settings(parameters, message, capsys):
    assert cli.main(["plan", "--gin_file=digits/rigl.gin", *settings(*parameters)]) == 1
    assert re.search(message, capsys.readouterr().err)


@pytest.mark.parametrize("precision", ["bfloat16", pytest.param("float16", marks=pytest.mark.slow)])
def test_computes_in_less_precision_and_keeps_variables(precision, tmp_path):
    parameters = ["train.epochs=8", f"train.mixed_precision='{precision}'"]
    arguments = ["train", "--gin_file=digits/rigl.gin", f"--workdir={tmp_path / 'run'}"]
    assert cli.main([*arguments, *settings(*parameters)]) == 0
    assert keras.config.dtype_policy().name == "float32"
    model = keras.models.load_model(tmp_path / "run" / "model.keras", compile=False)
    layer = model.get_layer("fc1") if "fc1" in [x.name for x in model.layers] else model.layers[-1]
    assert layer.compute_dtype == precision
    assert all(weight.dtype in ("float32", "bool") for weight in model.weights)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["test_accuracy"] > 0.8 and abs(summary["sparsity"] - 0.9) < 1e-3


def test_the_loss_is_scaled_in_float16():
    parameters = ["train.mixed_precision='float16'"]
    experiment = read_experiment(["digits/rigl.gin"], parameters)
    model = experiment.procedure.make(experiment, None)
    assert isinstance(model.optimizer.inner_optimizer, keras.optimizers.LossScaleOptimizer)
