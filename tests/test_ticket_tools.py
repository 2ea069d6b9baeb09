"""The scripts that train and tabulate tickets."""

import dataclasses
import functools
import json
import pathlib
import runpy
import sys

import keras
import numpy as np
import pytest

import keras_tickets as kt
from keras_tickets.experiments.experiment import Experiment
from keras_tickets.experiments.procedures import Distill, Fit, Tickets
from keras_tickets.experiments.starts import Sparsified
from keras_tickets.experiments.train import train

TOOLS = pathlib.Path(__file__).parents[1] / "tools"


def test_the_grid_prunes_the_same_way_with_labels_and_with_soft_labels(tmp_path):
    tool = runpy.run_path(str(TOOLS / "kd_grid.py"))
    seen = {}

    def train(experiment, workdir, **arguments):
        seen[workdir.name] = experiment.procedure
        return {"levels": [{"test_accuracy": 0.5}] * 2}

    tool["run"].__globals__["train"] = train
    experiment = Experiment(
        dataset="digits",
        model=kt.models.lenet_300_100,
        optimizer=keras.optimizers.SGD,
        epochs=1,
        procedure=Distill(sparsity=0.5, scope="local", rates={"logits": 0.1}),
    )
    tool["run"].__globals__["share_dense"] = lambda *arguments: None
    tool["run"](experiment, tmp_path, 0.9, "3it", {})
    for start in tool["STARTS"]:
        labels, soft = seen[f"labels_{start}"], seen[f"soft_labels_{start}"]
        assert labels.rate == soft.sparsity == 0.9
        for name in ("levels", "scope", "rates", "rewind", "rewind_to"):
            assert getattr(labels, name) == getattr(soft, name)


@pytest.mark.slow
def test_the_grid_shares_the_dense_network_and_finds_what_separate_runs_find(tmp_path):
    tool = runpy.run_path(str(TOOLS / "kd_grid.py"))
    experiment = Experiment(
        dataset="digits",
        model=functools.partial(kt.models.lenet_300_100, width=0.1),
        optimizer=functools.partial(keras.optimizers.SGD, 0.1),
        epochs=1,
        steps_per_epoch=6,
        procedure=Distill(sparsity=0.5),
    )
    dense = {}
    shared = tool["run"](experiment, tmp_path / "shared", 0.5, "3it", dense, ["rewound"])
    assert dense == {(0, "3it"): tmp_path / "shared" / "labels_rewound"}
    first, copy = (
        json.loads((tmp_path / "shared" / name / "level_00" / "result.json").read_text())
        for name in ("labels_rewound", "soft_labels_rewound")
    )
    assert first == copy  # the seconds too: it was not trained again
    separate = dataclasses.replace(experiment.procedure, rewind_to="3it")
    summary = tool["train"](
        dataclasses.replace(experiment, procedure=separate), tmp_path / "separate", verbose=0
    )
    assert shared["dense"] == summary["levels"][0]["test_accuracy"]
    assert shared["soft labels, rewound"] == summary["levels"][1]["test_accuracy"]
    tickets = (
        kt.load_ticket(tmp_path / run / "level_01" / "trained.safetensors")
        for run in ("shared/soft_labels_rewound", "separate")
    )
    a, b = (ticket.weights for ticket in tickets)
    assert all(np.array_equal(a[path], b[path]) for path in a)


def test_runs_of_the_same_seed_are_not_tabulated_as_one(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(TOOLS))
    level = {"level": 0, "density": 1.0, "test_accuracy": 0.9, "early_stop_step": 7}
    monkeypatch.setattr(sys, "argv", ["tabulate_tickets.py", str(tmp_path)])
    for name, seed in (("a", 0), ("b", 1), ("c", 1)):
        (tmp_path / name).mkdir()
        summary = {"seed": seed, "levels": [level]}
        (tmp_path / name / "summary.json").write_text(json.dumps(summary))
        if name == "b":
            runpy.run_path(str(TOOLS / "tabulate_tickets.py"), run_name="__main__")
            assert "| 0 | 100.0 | 90.00 ± 0.00 |" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        runpy.run_path(str(TOOLS / "tabulate_tickets.py"), run_name="__main__")
    assert "have the seeds [0, 1, 1]" in capsys.readouterr().err


def test_settings_that_differ_make_tables_of_their_own(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(TOOLS))
    monkeypatch.setattr(sys, "argv", ["tabulate_tickets.py", str(tmp_path)])
    for rate in (0.2, 0.5):
        level = {"level": 0, "density": 1.0, "test_accuracy": rate, "early_stop_step": 7}
        summary = {"seed": 0, "levels": [level], "config": {"tickets.rate": rate}}
        (tmp_path / str(rate)).mkdir()
        (tmp_path / str(rate) / "summary.json").write_text(json.dumps(summary))
    runpy.run_path(str(TOOLS / "tabulate_tickets.py"), run_name="__main__")
    printed = capsys.readouterr().out
    for rate in (0.2, 0.5):
        assert (
            f"tickets.rate={rate}\n\n| level |" in printed and f"| {rate:.2%}".strip("%") in printed
        )


@pytest.mark.slow
def test_a_teacher_of_sparse_training_is_the_trained_level_and_labels_are_the_usual_run(
    tmp_path, monkeypatch
):
    monkeypatch.syspath_prepend(str(TOOLS))
    tool = runpy.run_path(str(TOOLS / "rigl_with_teacher.py"))
    experiment = Experiment(
        dataset="digits",
        model=functools.partial(kt.models.lenet_300_100, width=0.1),
        optimizer=functools.partial(kt.optimizers.RigL, "sgd", update_every=5, end=0.75),
        epochs=2,
        procedure=Fit(Sparsified(0.5)),
    )
    dense = dataclasses.replace(
        experiment, optimizer=keras.optimizers.SGD, procedure=Tickets(levels=0, rate=0.5)
    )
    taught = train(dense, tmp_path / "dense", verbose=0)["levels"][0]["test_accuracy"]
    file = str(tmp_path / "dense" / "level_00" / "trained.safetensors")
    softness = {"temperature": 2.0, "alpha": 0.5}
    found = tool["cell"](experiment, file, tmp_path / "cell", softness)
    assert found["teacher"] == taught
    usual = train(experiment, tmp_path / "labels", verbose=0)
    assert found["labels"] == usual["test_accuracy"]
    unmixed = tool["trained_accuracy"](
        experiment, tool["teacher_of"](experiment, file), **{**softness, "alpha": 0.0}
    )
    assert unmixed == found["labels"]
    (tmp_path / "cell" / "labels.json").write_text('{"test_accuracy": 0.125}')
    again = tool["cell"](experiment, file, tmp_path / "cell", softness)
    assert again == {**found, "labels": 0.125}
