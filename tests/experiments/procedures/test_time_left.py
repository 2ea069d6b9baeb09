"""How far a run is, and how long the rest takes."""

import json

import keras
import pytest

from keras_tickets import models
from keras_tickets.experiments import settings
from keras_tickets.experiments.procedures import Tickets
from keras_tickets.experiments.procedures import time_left as module
from keras_tickets.experiments.procedures.time_left import TimeLeft
from keras_tickets.experiments.train import train
from keras_tickets.experiments.work_directory import WorkDirectory


class Clock:
    now = 0.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def run_epochs(watch, clock, epochs, steps=10, first=30.0):
    """Trains: the first step takes `first` seconds, the others one each, validation two."""
    watch.set_model(keras.Sequential())
    watch.on_train_begin()
    for epoch in epochs:
        watch.on_epoch_begin(epoch)
        for batch in range(steps):
            clock.now += first if (epoch, batch) == (epochs[0], 0) else 1.0
            watch.on_train_batch_end(batch)
        clock.now += 2.0
        watch.on_epoch_end(epoch)


def test_it_says_after_the_first_epoch_and_at_each_quarter(tmp_path, clock, capsys):
    left = TimeLeft(WorkDirectory(tmp_path), 80, verbose=2)
    run_epochs(left.callback(10), clock, range(8))
    lines = capsys.readouterr().out.splitlines()
    steps = [line.partition(";")[0] for line in lines]
    assert steps == ["Step 10 of 80", "Step 20 of 80", "Step 40 of 80", "Step 60 of 80"]
    # Nine steps of the first epoch and its validation took 11 seconds.
    assert lines[0].endswith(f"; about {round(70 * 11 / 9 / 60)} min left.")


def test_a_resumed_run_counts_what_is_left(tmp_path, clock, capsys):
    left = TimeLeft(WorkDirectory(tmp_path), 80, verbose=1)
    run_epochs(left.callback(10), clock, range(6, 8))
    assert capsys.readouterr().out == "Step 70 of 80; about 12 s left.\n"
    assert WorkDirectory(tmp_path).progress() == (71, 80)


def test_silent_where_it_is_asked_to_be(tmp_path, clock, capsys):
    run_epochs(TimeLeft(WorkDirectory(tmp_path), 80, verbose=0).callback(10), clock, range(8))
    assert capsys.readouterr().out == ""


def test_progress_is_noted_now_and_then(tmp_path, clock, monkeypatch):
    noted = []
    monkeypatch.setattr(WorkDirectory, "note_progress", lambda self, *steps: noted.append(steps))
    run_epochs(TimeLeft(WorkDirectory(tmp_path), 40, verbose=0).callback(20), clock, range(2), 20)
    assert len(noted) == 4 and noted[0] == (1, 40) and noted == sorted(noted)


@pytest.mark.slow
def test_levels_and_controls_count(tmp_path, monkeypatch, capsys):
    said = []
    monkeypatch.setattr(TimeLeft, "say", lambda self, step: said.append((step, self.steps)))
    experiment = settings.train(
        dataset="digits",
        model=models.lenet_300_100,
        optimizer=lambda: keras.optimizers.SGD(0.1),
        epochs=3,
        batch_size=300,
        procedure=Tickets(levels=2, rewind_to="1ep", control=["reinit_from_0", "reinit"]),
    )
    summary = train(experiment, tmp_path, verbose=0)
    levels = summary["levels"]
    runs = [one for row in levels for one in (row, *row.get("controls", {}).values())]
    total = 4 + sum(one["steps"] for one in runs)  # one epoch of 4 steps to the rewind point
    assert {steps for _, steps in said} == {total}
    assert [step for step, _ in said] == list(range(0, total, 4))
    assert "levels" in json.loads((tmp_path / "summary.json").read_text())
