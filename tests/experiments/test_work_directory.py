"""The directory of a run: whose it is, and who uses it."""

import json
import os
import time

import keras
import pytest
from faults import kill, room_for, start

from keras_tickets.experiments import cli
from keras_tickets.experiments.work_directory import LOCK, WorkDirectory

CONFIG = "train.seed = 0\n"
SUMMARY = {"steps": 7, "test_accuracy": 0.5}


@pytest.fixture
def work(tmp_path):
    directory = WorkDirectory(tmp_path / "run")
    with directory.in_use():
        directory.begin(CONFIG)
    return directory


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def test_a_second_process_is_refused_and_a_killed_one_leaves_no_lock(work):
    def use():
        with work.in_use():
            time.sleep(100)

    process = start(use)
    while not (work.path / LOCK).exists():
        time.sleep(0.001)
    time.sleep(0.05)
    with pytest.raises(OSError, match="run' is in use by another process"), work.in_use():
        pass
    kill(process)
    with work.in_use():
        assert work.open(CONFIG) is None
    assert names(work.path) == ["config.gin"]


@pytest.mark.parametrize("use", [lambda work: work.open(CONFIG), lambda work: work.in_use()])
def test_files_that_are_no_run_stay_as_they_are(use, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="holds 'thesis.txt' but no run"):
        with use(WorkDirectory(tmp_path)):
            pass
    assert names(tmp_path) == ["thesis.txt"]


def test_a_finished_run_that_cannot_be_written_is_finished(work):
    work.finish(SUMMARY)
    os.chmod(work.path, 0o500)
    assert work.open(CONFIG) == SUMMARY
    assert names(work.path) == ["config.gin", "summary.json"]


@pytest.mark.parametrize(
    "name, content",
    [
        ("config.gin", b"train.seed = \xff\n"),
        ("summary.json", b'{"steps": 7}'),
        ("summary.json", b'{"steps": "7", "test_accuracy": 0.5}'),
        ("summary.json", b"[]"),
        ("summary.json", b"[" * 10**5),
        ("summary.json", b""),
    ],
)
def test_damaged_files_are_named(name, content, work):
    work.finish(SUMMARY)
    (work.path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name}' is damaged"):
        work.open(CONFIG)


def test_a_summary_of_an_older_version_has_no_digest(work):
    (work.path / "summary.json").write_text(json.dumps(SUMMARY))
    assert work.open(CONFIG) == SUMMARY


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_summary_that_cannot_be_written_leaves_an_unfinished_run(failure, work, monkeypatch):
    def fsync(descriptor):
        raise failure

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(type(failure)):
        work.finish(SUMMARY)
    assert names(work.path) == ["config.gin"]


def test_a_model_that_does_not_fit_on_the_disk_leaves_the_one_before(work):
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    work.save_model(model)
    before = (work.path / "model.keras").read_bytes()
    with room_for(1000), pytest.raises(OSError, match="model.keras' cannot be written"):
        work.save_model(model)
    assert names(work.path) == ["config.gin", "model.keras"]
    assert (work.path / "model.keras").read_bytes() == before


def test_the_command_line_says_in_one_line_that_a_directory_is_in_use(work, capsys):
    def use():
        with work.in_use():
            time.sleep(100)

    process = start(use)
    while not (work.path / LOCK).exists():
        time.sleep(0.001)
    time.sleep(0.05)
    (work.path / "config.gin").unlink()
    arguments = ["train", "--gin_file=digits/dense.gin", f"--workdir={work.path}"]
    assert cli.main(arguments) == 1
    kill(process)
    line = capsys.readouterr().err.strip()
    assert line == f"keras-tickets: work directory {str(work.path)!r} is in use by another process"
