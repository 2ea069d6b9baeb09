import csv
import errno
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from slow_cases import slow_unless

import keras_tickets as kt
from keras_tickets import data
from keras_tickets.experiments import cli, train
from keras_tickets.experiments.work_directory import WorkDirectory

ROOT = pathlib.Path(__file__).parents[2]
RIGL = str(ROOT / "gin_configs" / "digits" / "rigl.gin")
SHORT = ["--gin_param=train.epochs=3", "--gin_param=train.batch_size=200"]


def command(*arguments, workdir=None):
    arguments = ["train", f"--gin_file={RIGL}", *SHORT, *arguments]
    return arguments + ([f"--workdir={workdir}"] if workdir else [])


def fail(capsys, arguments):
    """Runs a command that must fail, and returns its one line on stderr."""
    assert cli.main(arguments) == 1
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert line.startswith("keras-tickets: ")
    assert "Traceback" not in captured.out
    return line


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    run = tmp_path_factory.mktemp("finished") / "run"
    assert cli.main(command(workdir=run)) == 0
    return run


@pytest.fixture
def run(finished, tmp_path):
    """A copy of a finished run."""
    return pathlib.Path(shutil.copytree(finished, tmp_path / "run"))


def test_plan_prints_the_table_of_kernels(capsys):
    assert cli.main(["plan", f"--gin_file={RIGL}"]) == 0
    out = capsys.readouterr().out
    for word in ("fc1/kernel", "64x300", "0.8911", "2,091", "FLOPs", "sparsity 0.9000"):
        assert word in out


@pytest.mark.slow
def test_a_work_directory_may_be_below_home(tmp_path, monkeypatch, run, capsys):
    """A shell leaves `~` in `--workdir=~/run` as it is."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cli.main(command(workdir="~/run")) == 0, capsys.readouterr().err
    assert f"model.keras: {run / 'model.keras'}" in capsys.readouterr().out


def test_work_directory_of_a_run(run):
    names = {path.name for path in run.iterdir()}
    assert names == {
        "config.gin",
        "summary.json",
        "metrics.csv",
        "tensorboard",
        "checkpoints",
        "model.keras",
        "topology.csv",
        "topology.safetensors",
    }
    summary = json.loads((run / "summary.json").read_text())
    assert set(summary) >= {
        "experiment",
        "dataset",
        "model",
        "method",
        "seed",
        "steps",
        "test_accuracy",
        "test_loss",
        "sparsity",
        "nonzeros",
        "weights",
        "sparsity_all_weights",
        "inference_flops_ratio",
        "training_flops_ratio",
        "wall_seconds",
        "steps_per_second",
    }
    assert summary["experiment"] == "digits/rigl" and summary["steps"] == 21
    assert (summary["nonzeros"], summary["weights"]) == (5021, 50200)
    with open(run / "metrics.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["7", "14", "21"]
    assert float(rows[-1]["val_accuracy"]) == summary["test_accuracy"]
    assert "train.epochs = 3" in (run / "config.gin").read_text()

    model = keras.models.load_model(run / "model.keras", compile=False)
    assert sum(mask.sum() for mask in kt.get_masks(model).values()) == 5021
    x, y = next(data.load("digits").test().as_numpy_iterator())
    accuracy = np.mean(np.argmax(model.predict(x, verbose=0), 1) == y)
    assert accuracy == pytest.approx(summary["test_accuracy"], abs=1e-6)


def test_what_a_run_prints(tmp_path, capsys):
    run = tmp_path / "run"
    assert cli.main(command(workdir=run)) == 0
    out = capsys.readouterr().out
    accuracy = json.loads((run / "summary.json").read_text())["test_accuracy"]
    assert "Epoch 3/3" in out and re.search(r"Step 14 of 21; about \d+ s left", out)
    for word in ("fc1/kernel", "target", "actual", "FLOPs", f"test accuracy: {accuracy:.4f}"):
        assert word in out
    for name in ("summary.json", "metrics.csv", "model.keras", "tensorboard"):
        assert str(run / name) in out


def test_tensorboard_logs_hold_the_metrics(run):
    tags = {
        value.tag
        for file in (run / "tensorboard").rglob("events*")
        for event in tf.compat.v1.train.summary_iterator(str(file))
        for value in event.summary.value
    }
    assert {"epoch_loss", "epoch_accuracy"} <= tags
    assert {"fc1/kernel/exploration", "fc1/kernel/mask", "fc1/kernel/overlap_last"} <= tags
    assert {"config.gin", "_hparams_/session_start_info"} <= tags


def test_finished_run_is_left_alone(run, capsys):
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    assert cli.main(command(workdir=run)) == 0
    assert "finished already; nothing to do" in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in run.rglob("*")}


def test_other_configuration_is_refused(run, capsys):
    line = fail(capsys, command("--gin_param=train.seed=4", workdir=run))
    assert "another configuration: train.seed is 4, was 0. Choose another --workdir" in line


def test_of_another_method_the_settings_that_matter_are_named(run, capsys):
    other = ["--gin_param=train.optimizer=@SNFS", "--gin_param=SNFS.inner=@SGD()"]
    line = fail(capsys, command(*other, workdir=run))
    assert "train.optimizer is @SNFS, was @" in line
    assert line.count(", was ") == 5 and " more. Choose another --workdir" in line


def test_files_that_are_no_run_are_not_touched(tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("years of work")
    assert "holds 'thesis.txt' but no run" in fail(capsys, command(workdir=tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.slow
def test_directory_of_a_run_that_could_not_start_is_free_for_another(tmp_path, capsys):
    run = tmp_path / "run"
    assert "integer in [1, 1442]" in fail(
        capsys, command("--gin_param=train.batch_size=2000", workdir=run)
    )
    assert not run.exists()
    assert cli.main(command(workdir=run)) == 0


def test_truncated_checkpoint_is_named(run, capsys):
    (run / "summary.json").unlink()
    file = run / "checkpoints" / "epoch_000003" / "variables.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    line = fail(capsys, command(workdir=run))
    assert str(file) in line and "damaged" in line


@pytest.mark.parametrize(
    "where",
    slow_unless(lambda where: where != "save_model", ["save_model", "write_metrics", "begin"]),
)
def test_a_disk_that_is_full_is_one_line_that_names_the_directory(
    where, tmp_path, monkeypatch, capsys
):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(WorkDirectory, where, full)
        line = fail(capsys, command(workdir=run))
    assert f"work directory {str(run)!r} cannot be written: No space left" in line
    assert not (run / "summary.json").exists()
    if where == "save_model":
        assert cli.main(command(workdir=run)) == 0


def test_nan_loss_stops_and_names_the_step(tmp_path, capsys):
    run = tmp_path / "run"
    arguments = command("--gin_param=SGD.learning_rate=1e30", workdir=run)
    line = fail(capsys, arguments)
    assert "the loss is" in line and "step" in line and "epoch 1" in line
    assert not (run / "summary.json").exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "--workdir is missing"),
        (["--workdir=w", "--gin_file=nowhere.gin"], "gin file 'nowhere.gin' does not exist"),
        (["--workdir=w", "--gin_param=train.epohcs=1"], "doesn't have a parameter named 'epohcs'"),
        (["--workdir=w", "--gin_param=RigLL.end=1"], "No configurable matching 'RigLL'"),
        (["--workdir=w", "--gin_param=train.seed="], "train.seed"),
        (
            ["--workdir=w", "--gin_param=train.dataset='mnits'"],
            "'digits', 'mnist', 'fashion_mnist'",
        ),
        (["--workdir=w", "--gin_param=train.sparsity=1.0"], "sparsity"),
        (["--workdir=w", "--gin_param=train.distribution='erkk'"], "'erkk'"),
        (["--workdir=w", "--gin_param=train.epochs=0"], "`epochs` must be a positive integer"),
        (
            ["--workdir=w", "--gin_param=train.strategy='many'"],
            "('none', 'mirrored', 'multi_worker', 'tpu'). Received: strategy='many'",
        ),
        (["--workdir=w", "--gin_param=train.optimizer=@SGD()"], "without parentheses"),
        (["--workdir=w", "--gin_param=RigL.begin='99%'"], "begin"),
        (["--workdir=w", "--gin_param=RigL.update_every=1"], "update_every"),
        (["--workdir=w", "--wrokdir=v"], "wrokdir"),
        (["--workdir=/proc/no/such/place"], "/proc/no"),
    ],
)
def test_bad_input_is_one_line(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in fail(capsys, command(*arguments))


def test_bad_commands(capsys, tmp_path):
    assert "one of train, sweep, plan, export, report, list, configs. Received: 'trian'" in fail(
        capsys, ["trian"]
    )
    assert "--gin_file is missing" in fail(capsys, ["plan"])
    (tmp_path / "config.gin").write_text('include "nothing.gin"\n')
    line = fail(capsys, ["plan", f"--gin_file={tmp_path / 'config.gin'}"])
    assert "gin file 'nothing.gin' does not exist in" in line and "config.gin" in line
    (tmp_path / "config.gin").write_text("train.epochs = = 1\n")
    assert "config.gin" in fail(capsys, ["plan", f"--gin_file={tmp_path / 'config.gin'}"])


def test_data_set_that_cannot_be_downloaded(capsys, tmp_path, monkeypatch):
    def no_network(*args):
        raise OSError("no route to host")

    monkeypatch.setattr("socket.getaddrinfo", no_network)
    monkeypatch.setattr("urllib.request.getproxies", dict)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "data"))
    arguments = command("--gin_param=train.dataset='fashion_mnist'", workdir=tmp_path / "run")
    line = fail(capsys, arguments)
    assert "'fashion_mnist' is not in" in line and "no route to host" in line


def test_interrupt_says_that_it_resumes(capsys, tmp_path, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "train", interrupted)
    assert cli.main(command(workdir=tmp_path / "run")) == 130
    assert "the same command resumes" in capsys.readouterr().err


def test_a_setting_that_the_run_does_not_use_is_said(tmp_path, monkeypatch, capsys):
    def make_and_stop(experiment, workdir, *, describe, given, verbose):
        experiment.make_optimizer()
        describe()
        raise ValueError("that is enough")

    monkeypatch.setattr(train, "train", make_and_stop)
    used = ["--gin_param=train.seed=3", "--gin_param=Cosine.initial=0.2", "--gin_param=m=5"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "that is enough" in fail(capsys, command(*used, workdir=tmp_path / "run"))
    with pytest.warns(UserWarning, match="'SET.update_every=5' changes nothing.* not use SET"):
        cli.main(command(*used, "--gin_param=SET.update_every=5", workdir=tmp_path / "run"))


@pytest.mark.slow
@pytest.mark.parametrize("parameter", ["train.strategy='mirrored'", "train.jit_compile=True"])
def test_other_ways_to_run(parameter, tmp_path):
    run = tmp_path / "run"
    assert cli.main(command(f"--gin_param={parameter}", workdir=run)) == 0
    summary = json.loads((run / "summary.json").read_text())
    assert summary["nonzeros"] == 5021 and summary["test_accuracy"] > 0.4


@pytest.mark.slow
def test_killed_and_resumed_run_ends_as_the_uninterrupted_one(tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    parameters = ["--gin_param=train.epochs=12", "--gin_param=RigL.update_every=10"]

    def start(workdir):
        arguments = command(*parameters, workdir=workdir)
        arguments = [sys.executable, "-m", "keras_tickets", *arguments]
        return subprocess.Popen(
            arguments, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )

    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = start(killed)
    while process.poll() is None and not list(killed.glob("checkpoints/epoch_*")):
        time.sleep(0.01)
    time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (killed / "summary.json").exists()
    assert cli.main(command(*parameters, workdir=killed)) == 0
    assert cli.main(command(*parameters, workdir=whole)) == 0
    assert (killed / "metrics.csv").read_bytes() == (whole / "metrics.csv").read_bytes()
    a, b = (
        (directory / "checkpoints/epoch_000012/variables.safetensors").read_bytes()
        for directory in (killed, whole)
    )
    assert a == b
