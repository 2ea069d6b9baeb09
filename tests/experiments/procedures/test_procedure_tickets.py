"""Lottery tickets from the training binary."""

import csv
import json

import keras
import numpy as np
import pytest

import keras_tickets as kt
from keras_tickets.experiments import cli
from keras_tickets.experiments.experiment import Experiment
from keras_tickets.experiments.procedures import Tickets
from keras_tickets.experiments.train import train

CONFIG = "gin_configs/digits/tickets.gin"
FAST = ["train.epochs=2", "train.steps_per_epoch=5", "train.steps_per_execution=5"]
FAST += ["tickets.rewind_to='3it'", "tickets.control_levels=[1]"]


def command(workdir, levels, *more):
    parameters = [*FAST, f"tickets.levels={levels}", *more]
    return [
        "train",
        f"--gin_file={CONFIG}",
        f"--workdir={workdir}",
        *(f"--gin_param={parameter}" for parameter in parameters),
    ]


def test_a_run_leaves_its_levels_and_their_table(tmp_path, capsys):
    assert cli.main(command(tmp_path / "run", 2)) == 0, capsys.readouterr().err
    printed = capsys.readouterr().out
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    levels = summary["levels"]
    assert [row["nonzeros"] for row in levels] == [50_200, 40_160, 32_128]
    assert [row["density"] for row in levels] == [n / 50_200 for n in (50_200, 40_160, 32_128)]
    assert summary["method"] == "tickets" and summary["nonzeros"] == 32_128
    assert summary["test_accuracy"] == levels[2]["test_accuracy"]
    assert summary["steps"] == 3 * 7 + 7
    assert "reinit" in levels[1]["controls"] and "controls" not in levels[2]
    for row in levels:
        assert f"{row['test_accuracy']:.4f}" in printed
        assert row["early_stop_step"] in (5, 10)
    with open(tmp_path / "run" / "metrics.csv") as file:
        table = list(csv.DictReader(file))
    assert [float(row["test_accuracy"]) for row in table] == [r["test_accuracy"] for r in levels]
    model = keras.models.load_model(tmp_path / "run" / "model.keras")
    assert abs(model.sparsity - 0.36) < 1e-9
    ticket = kt.load_ticket(tmp_path / "run" / "level_02" / "ticket.safetensors")
    assert ticket.digest == levels[2]["ticket"]
    assert list((tmp_path / "run" / "tensorboard" / "level_01" / "reinit").rglob("events*"))


@pytest.mark.slow
def test_levels_can_be_added_to_a_finished_run_and_nothing_else_changed(tmp_path, capsys):
    assert cli.main(command(tmp_path / "whole", 2)) == 0
    assert cli.main(command(tmp_path / "parts", 1)) == 0
    assert cli.main(command(tmp_path / "parts", 2)) == 0

    def results(name):
        levels = json.loads((tmp_path / name / "summary.json").read_text())["levels"]
        for row in levels:
            for each in (row, *row.get("controls", {}).values()):
                del each["seconds"]
        return levels

    assert results("parts") == results("whole")
    capsys.readouterr()
    assert cli.main(command(tmp_path / "parts", 2)) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert cli.main(command(tmp_path / "parts", 2, "tickets.rate=0.5")) == 1
    assert "tickets.rate is 0.5, was 0.2" in capsys.readouterr().err


@pytest.mark.slow
def test_levels_are_not_taken_away_from_a_run(tmp_path, capsys):
    assert cli.main(command(tmp_path / "run", 2)) == 0
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert cli.main(command(tmp_path / "run", 1)) == 1
    assert "tickets.levels is 1, was 2" in capsys.readouterr().err
    assert cli.main(command(tmp_path / "run", 2, "tickets.control=None")) == 1
    assert "tickets.control is None, was 'reinit'" in capsys.readouterr().err
    assert before == {path: path.read_bytes() for path in before}


def test_choices_are_on_the_hold_out_and_the_test_set_is_evaluated_at_the_end(tmp_path):
    parameters = ("train.validation=0.3", "train.epochs=3")
    assert cli.main(command(tmp_path / "run", 1, *parameters)) == 0
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    digits = kt.data.load("digits", validation=0.3)
    assert (summary["chosen_on"], summary["held_out"]) == ("validation", digits.held_out)
    model = keras.models.load_model(tmp_path / "run" / "model.keras")
    model.compile(
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"]
    )
    row = summary["levels"][1]
    for name, examples in (("val", digits.validation()), ("test", digits.test())):
        found = model.evaluate(examples, verbose=0, return_dict=True)
        for metric in ("accuracy", "loss"):
            assert row[f"{name}_{metric}"] == pytest.approx(found[metric], abs=1e-6)
    assert summary["test_accuracy"] == row["test_accuracy"]
    assert {"val_accuracy", "test_accuracy"} <= row["controls"]["reinit"].keys()
    with open(tmp_path / "run" / "level_01" / "metrics.csv") as file:
        losses = [float(epoch["val_loss"]) for epoch in csv.DictReader(file)]
    assert row["early_stop_step"] == 5 * (1 + losses.index(min(losses)))


@pytest.mark.parametrize(
    "parameter, message",
    [
        ("tickets.rewind_to='10it'", "which is step 10 of 10"),
        ("tickets.rate=1.0", "rate=1.0"),
        ("tickets.control='reinitialise'", "`control` must be among"),
        ("tickets.scope='layer'", "`scope` must be one of"),
    ],
)
def test_bad_settings_are_one_line(parameter, message, tmp_path, capsys):
    assert cli.main(command(tmp_path / "run", 1, parameter)) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("keras-tickets: ") and message in line


def test_filters_leave_kernels_dense(tmp_path):
    experiment = Experiment(
        dataset="digits",
        model=kt.models.lenet_300_100,
        optimizer=lambda: keras.optimizers.SGD(0.1),
        epochs=1,
        steps_per_epoch=2,
        filters="fc",
        procedure=Tickets(levels=1, rate=0.5),
    )
    summary = train(experiment, tmp_path, verbose=0)
    assert summary["weights"] == 49_200 and summary["nonzeros"] == 24_600
    model = keras.models.load_model(tmp_path / "model.keras")
    assert np.count_nonzero(model.get_layer("logits").kernel) == 1000
