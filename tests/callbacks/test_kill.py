"""Runs that are killed with SIGKILL at random moments end, bit for bit, as those that are not.

`pytest -m slow -s tests/callbacks/test_kill.py` prints the figures of `docs/saving.md`.
"""

import collections
import csv
import json
import os
import pathlib
import random
import subprocess
import sys
import time
import zipfile

import h5py
import numpy as np
import pytest

from keras_tickets._files.checkpoints import (
    list_checkpoints,
    read_checkpoint,
    write_checkpoint,
)

ROOT = pathlib.Path(__file__).parents[2]
WORKER = pathlib.Path(__file__).parent / "kill_worker.py"
MOMENTS = ("while starting", "while training", "while writing")


class Fit:
    """`fit` with a `kt.callbacks.Checkpoint`."""

    def __init__(self, method, epochs):
        self.name = f"fit, {method}"
        self.command = [WORKER, method, epochs]

    def arguments(self, directory):
        return [*self.command, directory]

    def checkpoints(self, directory):
        return directory

    def results(self, directory):
        return {}


class Train:
    """`keras-tickets train`."""

    def __init__(self, method, epochs, update_every):
        self.name = f"keras-tickets train, {method}"
        self.command = ["-m", "keras_tickets", "train"]
        self.command += [f"--gin_file={ROOT}/gin_configs/digits/{method}.gin"]
        self.command += [f"--gin_param=train.epochs={epochs}", f"--gin_param={update_every}"]

    def arguments(self, directory):
        return [*self.command, f"--workdir={directory}"]

    def checkpoints(self, directory):
        return directory / "checkpoints"

    def results(self, directory):
        """What the files say, but the time that the run took; and all that the model holds."""
        summary = json.loads((directory / "summary.json").read_text())
        summary = {k: v for k, v in summary.items() if "second" not in k}
        with open(directory / "metrics.csv", newline="") as file:
            metrics = list(csv.reader(file))
        found = {"summary": summary, "metrics": metrics}
        with zipfile.ZipFile(directory / "model.keras") as archive:
            weights = archive.extract("model.weights.h5", directory)
        with h5py.File(weights) as file:
            names = []
            file.visit(names.append)
            datasets = [name for name in names if isinstance(file[name], h5py.Dataset)]
            found |= {name: file[name][()].tobytes() for name in datasets}
        return found


class Run:
    """A process of a run, whose output goes to a file beside its directory."""

    def __init__(self, kind, directory):
        self.checkpoints = kind.checkpoints(directory)
        self.log = directory.with_suffix(".log")
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                [sys.executable, *map(str, kind.arguments(directory))],
                env=environment,
                cwd=ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def finish(self):
        assert self.process.wait(300) == 0, self.log.read_text()[-3000:]

    def kill_at(self, moment, rng):
        """Kills at a random time of that moment; False where the run ended by itself before."""
        if moment == "while starting":
            self._sleep(rng.uniform(0, 6))
        elif moment == "while training":
            self._wait_for("epoch_*", rng.choice([1, 2]))
            self._sleep(rng.uniform(0, 0.2))
        else:
            self._wait_for(".writing_*", 1)
            self._sleep(rng.uniform(0, 0.005))
        if self.process.poll() is not None:
            self.finish()
            return False
        self.process.kill()
        self.process.wait()
        return True

    @property
    def resumed(self):
        return "Resuming" in self.log.read_text()

    def _sleep(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.process.poll() is None:
            time.sleep(min(0.001, seconds))

    def _wait_for(self, pattern, count):
        before, seen = set(self.checkpoints.glob(pattern)), set()
        while len(seen) < count and self.process.poll() is None:
            seen |= set(self.checkpoints.glob(pattern)) - before
            time.sleep(0.0005)


def kill_and_compare(kind, kills, folder, seed):
    """Figures of a run that is killed so many times, compared with one that is not."""
    rng, moments = random.Random(seed), collections.Counter()
    folder.mkdir()
    whole, killed = folder / "whole", folder / "killed"
    Run(kind, whole).finish()
    resumes = unfinished = 0
    while sum(moments.values()) < kills:
        moment = MOMENTS[(1 + sum(moments.values())) % 3]
        run = Run(kind, killed)
        assert run.kill_at(moment, rng), "the run ended before it was killed often enough"
        moments[moment] += 1
        resumes += run.resumed
        unfinished += any(run.checkpoints.glob(".writing_*"))
    run = Run(kind, killed)
    run.finish()
    resumes += run.resumed
    differences = compare(kind, whole, killed)
    words = ", ".join(f"{moments[moment]} {moment}" for moment in MOMENTS)
    counts = f"{kills} ({words}; after {unfinished} a half-written checkpoint lay there)"
    return f"| {kind.name} | {counts} | {resumes} | {len(differences)} |", resumes, differences


def compare(kind, whole, killed):
    """Names of all that differs: variables bit by bit, metrics of all epochs, files."""
    ours, theirs = (
        read_checkpoint(list_checkpoints(kind.checkpoints(directory))[-1])
        for directory in (killed, whole)
    )
    differences = [key for key in ("epoch", "epochs", "history") if ours[0][key] != theirs[0][key]]
    assert len(ours[1]) == len(theirs[1])
    for entry, a, b in zip(theirs[0]["variables"], ours[1], theirs[1], strict=True):
        if a.dtype != b.dtype or a.tobytes() != b.tobytes():
            differences.append(entry["path"])
    mine, others = kind.results(killed), kind.results(whole)
    assert mine.keys() == others.keys()
    return differences + [name for name in mine if mine[name] != others[name]]


@pytest.mark.slow
def test_a_run_that_is_killed_ends_the_same(tmp_path):
    figures, resumes, differences = kill_and_compare(Fit("rigl", 12), 2, tmp_path / "run", seed=0)
    print(figures)
    assert resumes >= 1
    assert not differences


def test_the_comparison_sees_a_difference_of_one_value(tmp_path):
    variables = [{"path": path} for path in ("kernel", "mask", "momentum")]
    description = {"epochs": [0], "history": {"loss": [0.5]}, "variables": variables}
    arrays = [np.ones((3, 4), "float32"), np.eye(3, 4, dtype=bool), np.zeros((3, 4), "float32")]
    write_checkpoint(tmp_path / "whole", 1, description, arrays, keep=1)
    kind = Fit("rigl", 1)
    for changed, (entry, array) in enumerate(zip(variables, arrays, strict=True)):
        copies = [a.copy() for a in arrays]
        copies[changed].flat[5] = not array.flat[5]
        other = tmp_path / entry["path"]
        write_checkpoint(other, 1, description, copies, keep=1)
        assert compare(kind, tmp_path / "whole", other) == [entry["path"]]
    worse = {**description, "history": {"loss": [0.5000001]}}
    write_checkpoint(tmp_path / "worse", 1, worse, arrays, keep=1)
    assert compare(kind, tmp_path / "whole", tmp_path / "worse") == ["history"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "kills"),
    [
        (Fit("rigl", 24), 7),
        (Fit("snfs", 20), 6),
        (Fit("gradual_magnitude", 20), 6),
        (Train("rigl", 24, "RigL.update_every=10"), 7),
        (Train("gradual_magnitude", 20, "GradualMagnitude.update_every=10"), 6),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_runs_that_are_killed_often_end_the_same(kind, kills, tmp_path):
    figures, resumes, differences = kill_and_compare(kind, kills, tmp_path / "run", seed=kills)
    print(figures)
    assert resumes >= kills // 2
    assert not differences
