"""Runs that are killed with SIGKILL at random moments end, bit for bit, as those that are not.

`pytest -m slow -s tests/integration/test_kills.py` prints the figures of `docs/saving.md`.
"""

import hashlib
import json
import os
import pathlib
import random
import time
import zipfile

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from fork_server import ForkServer

import keras_tickets as kt
from keras_tickets._files.atomic import remove_leftovers
from keras_tickets._files.checkpoints import list_checkpoints, read_checkpoint, write_checkpoint
from keras_tickets.callbacks.checkpoint import SCHEMA

ROOT = pathlib.Path(__file__).parents[2]
WORKER = ROOT / "tests" / "callbacks" / "kill_worker.py"


class Kind:
    """What is run; `ended` says whether it would be refused to run again."""

    def ended(self, directory):
        return False


class Fit(Kind):
    """`fit` with a `kt.callbacks.Checkpoint`."""

    def __init__(self, method, epochs):
        self.name = f"fit, {method}"
        self.command = [WORKER, method, epochs]

    def arguments(self, directory):
        return [*self.command, directory]


class Train(Kind):
    """`keras-tickets train`."""

    def __init__(self, method, *parameters):
        self.name = f"keras-tickets train, {method}"
        self.command = ["train", f"--gin_file={ROOT}/gin_configs/digits/{method}.gin"]
        self.command += [f"--gin_param={parameter}" for parameter in parameters]

    def arguments(self, directory):
        return [*self.command, f"--workdir={directory}"]


class Export(Kind):
    """`keras-tickets export`."""

    def __init__(self, format):
        self.name, self.format = f"keras-tickets export, {format}", format

    def arguments(self, directory):
        directory.mkdir(exist_ok=True)
        model = directory.with_name("model.keras")
        if not model.exists():
            kt.sparsify(kt.models.lenet_300_100((64,), seed=0), 0.9).save(model)
        return [
            "export",
            f"--model={model}",
            f"--output={directory / 'exported'}",
            f"--format={self.format}",
        ]

    def ended(self, directory):
        return (directory / "exported").exists()


KINDS = [
    (Fit("rigl", 12), 14),
    (Fit("snfs", 12), 6),
    (Fit("gradual_magnitude", 12), 6),
    (Train("rigl", "train.epochs=12", "RigL.update_every=10"), 14),
    (
        Train(
            "tickets",
            "train.epochs=6",
            "tickets.levels=2",
            "tickets.rewind_to='33it'",
            "tickets.control='reinit'",
            "tickets.control_levels=[2]",
        ),
        20,
    ),
    (
        Train(
            "distill",
            "train.epochs=6",
            "distill.levels=2",
            "distill.rewind_to='33it'",
            "distill.cached=True",
        ),
        20,
    ),
    (Export("litert"), 10),
    (Export("tf_saved_model"), 10),
]


@pytest.fixture(scope="module")
def server():
    started = ForkServer()
    yield started
    started.close()


def found(directory):
    """`{file: what it holds}` below a directory, without the time that anything took."""
    files = [path for path in directory.rglob("*") if path.is_file()]
    return {str(path.relative_to(directory)): content(path) for path in files if kept(path)}


def kept(path):
    """TensorFlow's own files do not come out the same twice, bit by bit."""
    other = path.suffix == ".pb" or path.name.startswith("variables.data")
    return "tensorboard" not in path.parts and not other


def content(path):
    if path.suffix == ".json":
        return without_times(json.loads(path.read_text()))
    if path.name == "variables.index":
        reader = tf.train.load_checkpoint(path.with_suffix(""))
        names = [name for name in reader.get_variable_to_shape_map() if name[0] != "_"]
        return {name: reader.get_tensor(name).tobytes() for name in names}
    if path.suffix == ".keras":
        return weights_in(path)
    if path.name == "metrics.csv":
        header, *rows = (line.split(",") for line in path.read_text().splitlines())
        timeless = [i for i, name in enumerate(header) if "second" not in name]
        return [[row[i] for i in timeless] for row in (header, *rows)]
    return hashlib.sha256(path.read_bytes()).hexdigest()


def without_times(value):
    """A document without seconds, and without the digest that is over them too."""
    if isinstance(value, list):
        return [without_times(part) for part in value]
    if not isinstance(value, dict):
        return value
    names = [name for name in value if "second" not in name and name != "sha256"]
    return {name: without_times(value[name]) for name in names}


def weights_in(path):
    with zipfile.ZipFile(path) as archive, archive.open("model.weights.h5") as opened:
        with h5py.File(opened) as file:
            values = {}

            def add(name, item, values=values):
                if isinstance(item, h5py.Dataset):
                    values[name] = item[()].tobytes()

            file.visititems(add)
            return values


def rooms(directory):
    """Names of the directories below in which something is being written."""
    below = [name for _, names, _ in os.walk(directory) for name in names]
    return {name for name in below if name.startswith(".keras_tickets_")}


def kill_once(run, directory, longest, rng):
    """Kills a run at a random moment, or while it writes something; whether it came in time."""
    if rng.random() < 0.5:
        run.sleep(rng.uniform(0, longest))
    else:
        skip = rng.randrange(4)
        seen = set()
        while len(seen) <= skip and not run.ended():
            seen |= rooms(directory)
        run.sleep(rng.uniform(0, 0.01))
    return run.kill()


@pytest.mark.slow
@pytest.mark.parametrize("kind, kills", KINDS, ids=lambda value: getattr(value, "name", value))
def test_runs_that_are_killed_end_the_same(kind, kills, server, tmp_path):
    began = time.monotonic()
    server.start(kind.arguments(tmp_path / "whole"), tmp_path / "whole.log").finish()
    longest, rng = time.monotonic() - began, random.Random(kills)
    whole = found(tmp_path / "whole")
    assert whole
    done = runs = leftovers = 0
    while done < kills:
        directory = tmp_path / f"killed_{runs}"
        for _ in range(6):
            run = server.start(kind.arguments(directory), directory.with_suffix(".log"))
            if not kill_once(run, directory, longest, rng):
                assert run.code == 0, run.log.read_text()[-3000:]
                break
            done += 1
            leftovers += bool(rooms(directory))
            if kind.ended(directory):
                remove_leftovers(directory)
                break
        if run.code != 0 and not kind.ended(directory):
            server.start(kind.arguments(directory), run.log).finish()
        killed = found(directory)
        assert [name for name in whole if whole[name] != killed.get(name)] == []
        assert whole.keys() == killed.keys()
        assert not list(directory.rglob(".*"))
        runs += 1
    print(f"| {kind.name} | {done} | {leftovers} | {runs} | {len(whole)} | 0 |")


def test_the_comparison_sees_a_difference_of_one_value(tmp_path):
    description = {"epochs": [0], "history": {"loss": [0.5]}, "seconds": 1.5, "variables": []}
    arrays = [np.ones((3, 4), "float32"), np.eye(3, 4, dtype=bool)]
    for name, seconds in (("whole", 1.5), ("again", 2.5)):
        write_checkpoint(tmp_path / name, 1, {**description, "seconds": seconds}, arrays, keep=1)
    whole = found(tmp_path / "whole")
    assert len(whole) == 2 and found(tmp_path / "again") == whole
    (path,) = list_checkpoints(tmp_path / "again")
    assert read_checkpoint(path, SCHEMA)[0]["seconds"] == 2.5
    for i, array in enumerate(arrays):
        copies = [each.copy() for each in arrays]
        copies[i].flat[5] = not array.flat[5]
        write_checkpoint(tmp_path / f"other_{i}", 1, description, copies, keep=1)
        assert found(tmp_path / f"other_{i}") != whole
    worse = {**description, "history": {"loss": [0.5000001]}}
    write_checkpoint(tmp_path / "worse", 1, worse, arrays, keep=1)
    assert found(tmp_path / "worse") != whole
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        model.save(tmp_path / name / "model.keras")
        model.layers[0].bias.assign([0, 1e-7])
    assert found(tmp_path / "a") != found(tmp_path / "b")
