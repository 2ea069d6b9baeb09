"""The commands of docs/scaling.md: one process, two replicas, two workers; and what goes wrong."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
from run_workers import free_ports

import keras_tickets as kt

ROOT = pathlib.Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "keras_tickets", "train"]
WORKERS = '--gin_param=train.strategy="multi_worker"'
MIRRORED = ['--gin_param=train.strategy="mirrored"', "--gin_param=train.replicas=2"]
LEVELS = ["tickets.levels=1", "tickets.control='reinit'", "tickets.control_levels=None"]
PROCEDURES = {
    "tickets": [*LEVELS, "tickets.rewind_to='30it'"],
    "distill": ["distill.levels=2", "distill.rewind_to='1ep'"],
}
pytestmark = pytest.mark.slow


def environment(**more):
    path = os.pathsep.join([str(pathlib.Path(sys.executable).parent), os.environ["PATH"]])
    python = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PATH": path, "PYTHONPATH": python, "TF_CPP_MIN_LOG_LEVEL": "3", **more}


def parameters(procedure, epochs=3):
    """Flags of a short run of a configuration for the digits."""
    values = [f"train.epochs={epochs}", *PROCEDURES.get(procedure, ())]
    return [f"--gin_file=digits/{procedure}.gin", *(f"--gin_param={value}" for value in values)]


def start(folder, arguments, ports, index, **more):
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    task = {"type": "worker", "index": index}
    return subprocess.Popen(
        [*COMMAND, f"--workdir={folder}", WORKERS, *arguments],
        cwd=folder.parent,
        env=environment(TF_CONFIG=json.dumps({"cluster": cluster, "task": task}), **more),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def end(process, code=0):
    """What a process printed."""
    printed, _ = process.communicate(timeout=400)
    assert process.returncode == code, printed[-3000:]
    return printed


def two_workers(folder, first, second=None, *, code=0, environments=({}, {})):
    ports = free_ports(2)
    arguments = (first, first if second is None else second)
    processes = [
        start(folder, given, ports, index, **more)
        for index, (given, more) in enumerate(zip(arguments, environments, strict=True))
    ]
    return [end(process, code) for process in processes]


def one_process(folder, arguments):
    command = [*COMMAND, f"--workdir={folder}", *arguments]
    run = subprocess.run(
        command, cwd=folder.parent, env=environment(), capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr[-3000:]


def summary(folder):
    return json.loads((folder / "summary.json").read_text())


def network(folder):
    return keras.models.load_model(folder / "model.keras", compile=False)


def assert_same_network(folder, other):
    one, two = network(folder), network(other)
    for path, mask in kt.get_masks(one).items():
        np.testing.assert_array_equal(mask, kt.get_masks(two)[path], err_msg=path)
    for ours, theirs in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def blocks():
    """The commands of the guide, as they are written."""
    text = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    section = text.split("\n## On one machine\n")[1].split("\n## ")[0]
    return re.findall(r"^```sh\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)


def test_the_commands_of_the_guide(tmp_path):
    for block in blocks():
        run = subprocess.run(
            ["bash", "-c", block], cwd=tmp_path, env=environment(), capture_output=True, text=True
        )
        assert run.returncode == 0, run.stderr[-3000:]
    one, mirrored, workers = (tmp_path / "runs" / name for name in ("one", "mirrored", "workers"))
    assert_same_network(mirrored, workers)
    found = [summary(folder) for folder in (one, mirrored, workers)]
    assert [(run["workers"], run["replicas"]) for run in found] == [(1, 1), (1, 2), (2, 2)]
    accuracies = [run["test_accuracy"] for run in found]
    assert max(accuracies) - min(accuracies) < 0.015  # seeds differ by 0.01
    assert min(accuracies) > 0.95


@pytest.mark.parametrize("procedure", list(PROCEDURES))
def test_levels_are_the_same_on_two_replicas_and_two_workers(procedure, tmp_path):
    one, mirrored, workers = (tmp_path / name for name in ("one", "mirrored", "workers"))
    arguments = parameters(procedure)
    one_process(one, arguments)
    one_process(mirrored, [*arguments, *MIRRORED])
    first, second = two_workers(workers, arguments)
    assert "test accuracy" in first and "worker 1 of 2 is done" in second
    assert_same_network(mirrored, workers)
    files = [
        sorted(
            str(path.relative_to(folder))
            for path in folder.rglob("*")
            if "tensorboard" not in path.parts
        )
        for folder in (mirrored, workers)
    ]
    assert files[0] == files[1]
    for level in range(len(summary(one)["levels"])):
        name = f"level_{level:02d}"
        tickets = [
            kt.load_ticket(folder / name / "trained.safetensors").masks
            for folder in (mirrored, workers)
        ]
        for path, mask in tickets[0].items():
            np.testing.assert_array_equal(mask, tickets[1][path])
        found = [summary(folder)["levels"][level] for folder in (one, mirrored, workers)]
        assert found[0]["nonzeros"] == found[1]["nonzeros"] == found[2]["nonzeros"]
        accuracies = [row["test_accuracy"] for row in found]
        assert max(accuracies) - min(accuracies) < 0.03


@pytest.mark.parametrize("victim", [0, 1])
@pytest.mark.parametrize("procedure", ["rigl", "tickets"])
def test_a_worker_that_is_killed_and_started_again_resumes_with_the_others(
    procedure, victim, tmp_path
):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    arguments = parameters(procedure, epochs=6)
    two_workers(whole, arguments)
    ports = free_ports(2)
    processes = [start(killed, arguments, ports, index) for index in range(2)]
    deadline = time.monotonic() + 300
    while not list(killed.rglob("epoch_*")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    processes[victim].send_signal(signal.SIGKILL)
    processes[victim].communicate()
    assert not (killed / "summary.json").exists()
    processes[victim] = start(killed, arguments, ports, victim)
    printed = [end(process) for process in processes]
    assert "starting again, to go on with it" in printed[1 - victim]
    assert_same_network(whole, killed)


@pytest.mark.parametrize(
    "first, second, environments, what",
    [
        (["train.seed=0"], ["train.seed=1"], ({}, {}), "seed (worker 1); configuration (worker 1)"),
        ([], [], ({}, {"DATA_SEED": "1"}), "data set (worker 1)"),
    ],
    ids=["seeds", "data"],
)
def test_workers_that_differ_stop_with_one_line(first, second, environments, what, tmp_path):
    (tmp_path / "own.gin").write_text(OWN.format("arrays"))
    (tmp_path / "scaled_data.py").write_text(DATA.read_text())
    given = [
        ["--gin_file=own.gin", *(f"--gin_param={value}" for value in values)]
        for values in (first, second)
    ]
    printed = two_workers(tmp_path / "run", *given, code=1, environments=environments)
    for lines in printed:
        (line,) = [line for line in lines.splitlines() if line.startswith("keras-tickets: ")]
        assert f"What differs from worker 0: {what}. Start all of them" in line
    assert not (tmp_path / "run").exists()


DATA = pathlib.Path(__file__).with_name("scaled_data.py")
OWN = """
import scaled_data
train.dataset = @scaled_data.{}()
train.model = @lenet_300_100
train.optimizer = @SET
train.sparsity = 0.8
train.epochs = 3
train.batch_size = 32
SET.inner = @SGD()
SET.update_every = 5
"""


@pytest.mark.parametrize("kind", ["arrays", "Drawn"])
def test_data_of_the_users_own(kind, tmp_path):
    (tmp_path / "own.gin").write_text(OWN.format(kind))
    (tmp_path / "scaled_data.py").write_text(DATA.read_text())
    mirrored, workers = tmp_path / "mirrored", tmp_path / "workers"
    one_process(mirrored, ["--gin_file=own.gin", *MIRRORED])
    two_workers(workers, ["--gin_file=own.gin"])
    assert_same_network(mirrored, workers)
