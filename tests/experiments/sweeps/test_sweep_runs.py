"""Running a sweep: what is finished, killed, failed, or run by another process."""

import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import pytest
from faults import kill, start

from keras_tickets.experiments import cli
from keras_tickets.experiments.commands import sweep as command
from keras_tickets.experiments.sweeps import processes
from keras_tickets.experiments.sweeps.jobs import Job
from keras_tickets.experiments.sweeps.resources import Resources
from keras_tickets.experiments.sweeps.sweep import Run
from keras_tickets.experiments.work_directory import WorkDirectory, read_summary

FAKE = str(pathlib.Path(__file__).with_name("fake_train.py"))
ROOT = str(pathlib.Path(__file__).parents[3])


def fake_command(run, directory):
    return [sys.executable, FAKE, str(directory)]


@pytest.fixture
def fake(monkeypatch):
    """Runs are `fake_train.py`, and every configuration can be read."""
    monkeypatch.setattr(processes, "command", fake_command)
    monkeypatch.setattr(command, "refused", lambda runs: {})
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([ROOT, *sys.path]))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


def sweep(workdir, *names, **flags):
    given = [f"--{name}={value}" for name, value in flags.items()]
    grid = f"--grid=train.kind={list(names)}"
    return cli.main(["sweep", "--gin_param=x.y=1", grid, f"--workdir={workdir}", *given])


def started(workdir):
    return (workdir / "started.txt").read_text().splitlines()


def times(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_what_fails_stops_no_other_and_what_is_finished_is_not_run_again(fake, tmp_path, capsys):
    assert sweep(tmp_path, "refused", "killed", "diverges", 0.25, 0.75, jobs=2) == 1
    out = capsys.readouterr().out
    assert "finished kind=0.25: accuracy 0.2500" in out
    assert "failed   kind=refused: there is no such data set\n" in out
    assert "failed   kind=diverges: the loss is nan\n" in out
    assert "kind=killed: ended by SIGKILL (out of memory?)" in out
    assert "5 runs: 2 finished, 3 failed" in out
    assert "best on the test set: accuracy 0.7500, kind=0.75" in out
    assert cli.main(["list", str(tmp_path)]) == 0
    listed = capsys.readouterr().out
    assert "kind=refused: there is no such data set" in listed
    assert listed.splitlines()[-1] == "2 finished, 2 failed, 1 interrupted"
    before = times(tmp_path / "kind=0.75")
    (tmp_path / "started.txt").unlink()
    assert sweep(tmp_path, "refused", "killed", "diverges", 0.25, 0.75, 0.5, jobs=2) == 1
    again = sorted(line.split()[0] for line in started(tmp_path))
    assert again == ["kind=0.5", "kind=diverges", "kind=killed", "kind=refused"]
    assert times(tmp_path / "kind=0.75") == before


def test_a_run_of_another_process_is_waited_for(fake, tmp_path, capsys):
    directory = WorkDirectory(tmp_path / "kind=0.5")

    def use():
        with directory.in_use():
            time.sleep(100)

    holder = start(use)
    while not directory.is_in_use():
        time.sleep(0.01)
    threading.Timer(0.8, kill, [holder]).start()
    assert sweep(tmp_path, 0.5, 0.25, jobs=2) == 0
    out = capsys.readouterr().out
    assert out.index("running  kind=0.25") < out.index("running  kind=0.5")


def test_a_sweep_that_is_killed_leaves_no_process_and_goes_on(fake, tmp_path):
    def run():
        sweep(tmp_path, "waits-0.5", 0.25, jobs=1)

    process = start(run)
    directory = WorkDirectory(tmp_path / "kind=waits-0.5")
    while not directory.is_in_use():
        time.sleep(0.01)
    kill(process)
    if sys.platform == "linux":
        deadline = time.monotonic() + 20
        while directory.is_in_use():
            assert time.monotonic() < deadline
            time.sleep(0.02)
    (tmp_path / "go").touch()
    assert sweep(tmp_path, "waits-0.5", 0.25, jobs=1) == 0
    assert sorted(line.split()[0] for line in started(tmp_path)) == [
        "kind=0.25",
        "kind=waits-0.5",
        "kind=waits-0.5",
    ]


def test_two_sweeps_of_one_directory_are_refused(fake, tmp_path, capsys):
    process = start(lambda: sweep(tmp_path, "waits-0.5", jobs=1))
    while not WorkDirectory(tmp_path / "kind=waits-0.5").is_in_use():
        time.sleep(0.01)
    assert sweep(tmp_path, 0.25) == 1
    kill(process)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("is being run by another process")


def test_configurations_that_cannot_be_read(fake, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        command,
        "refused",
        lambda runs: {run.name: "x has no parameter" for run in runs if "bad" in run.name},
    )
    assert sweep(tmp_path, "bad") == 1
    assert capsys.readouterr().err == "keras-tickets: x has no parameter\n"
    assert not (tmp_path / "kind=bad").exists()
    assert sweep(tmp_path, "bad", 0.5, dry_run=True) == 1
    assert "kind=bad: x has no parameter\n" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())
    assert sweep(tmp_path, "bad", 0.5) == 1
    out = capsys.readouterr().out
    assert "failed   kind=bad: x has no parameter" in out and "finished kind=0.5" in out
    assert started(tmp_path)[0].startswith("kind=0.5") and len(started(tmp_path)) == 1


def test_cores_and_gpus_are_shared():
    two = Resources(cores=8, gpus=("3", "5"))
    assert two.jobs() == 2 and Resources(cores=8).jobs() == 8
    given = [two.environment(slot, 2, {}) for slot in (0, 1)]
    assert [one["CUDA_VISIBLE_DEVICES"] for one in given] == ["3", "5"]
    assert {one["TF_NUM_INTRAOP_THREADS"] for one in given} == {"4"}
    assert "TF_FORCE_GPU_ALLOW_GROWTH" not in given[0]
    crowded = [two.environment(slot, 4, {"OMP_NUM_THREADS": "1"}) for slot in range(4)]
    assert [one["CUDA_VISIBLE_DEVICES"] for one in crowded] == ["3", "5", "3", "5"]
    assert all(one["TF_FORCE_GPU_ALLOW_GROWTH"] == "true" for one in crowded)
    assert all("OMP_NUM_THREADS" not in one for one in crowded)
    assert "CUDA_VISIBLE_DEVICES" not in Resources(8, ("0",)).environment(0, 1, {})


def test_a_slurm_array_runs_what_is_missing(fake, tmp_path, monkeypatch, capsys):
    assert sweep(tmp_path, 0.5, 0.25, jobs=1) == 0
    capsys.readouterr()
    options = {"slurm_option": "--gres=gpu:1", "jobs": 3}
    assert sweep(tmp_path, 0.5, 0.25, "it's", 0.75, slurm=True, **options) == 0
    script = capsys.readouterr().out
    assert "#SBATCH --array=0-1%3\n" in script and "#SBATCH --gres=gpu:1\n" in script
    (tmp_path / "array.sh").write_text(script.replace(sys.executable, "echo"))
    task = {**os.environ, "SLURM_ARRAY_TASK_ID": "0"}
    ran = subprocess.run(["bash", tmp_path / "array.sh"], env=task, capture_output=True, text=True)
    assert '--gin_param=train.kind="it\'s" ' in ran.stdout and "--workdir=" in ran.stdout
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "sbatch").write_text("#!/bin/bash\ncat > submitted.sh; echo Submitted batch job 7\n")
    (tools / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    assert sweep(tmp_path, 0.5, 0.75, submit=True) == 0
    assert capsys.readouterr().out == "Submitted batch job 7\n"
    assert "train.kind=0.75" in (tmp_path / "submitted.sh").read_text()


def test_slurm_that_is_not_there_and_options_that_are_none(fake, tmp_path, monkeypatch, capsys):
    assert sweep(tmp_path, 0.5, slurm=True, slurm_option="gres") == 1
    assert "--slurm_option must be an option of sbatch" in capsys.readouterr().err
    monkeypatch.setenv("PATH", str(tmp_path))
    assert sweep(tmp_path, 0.5, submit=True) == 1
    assert "there is no sbatch on this machine" in capsys.readouterr().err


def test_slurm_gets_paths_with_spaces_and_percent_signs(fake, tmp_path, capsys):
    assert sweep(tmp_path / "my runs" / "50%A", 0.5, slurm=True) == 0
    log = tmp_path / "my runs" / "50%%A" / "logs" / "slurm_%A_%a.log"
    assert f'#SBATCH --output="{log}"\n' in capsys.readouterr().out
    assert sweep(tmp_path / "a\nb", 0.5, slurm=True) == 1
    assert "Slurm can have no quote or line break in a path" in capsys.readouterr().err


def test_directories_that_are_none_of_a_sweep(fake, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    WorkDirectory(tmp_path / "run").fail("never mind")
    (tmp_path / "run" / "config.gin").write_text("train.seed = 1\n")
    for place, words in (
        ("file", "of the sweep cannot be made: File exists"),
        ("file/x", "of the sweep cannot be made: Not a directory"),
        ("run", "is that of a run, and not of a sweep"),
    ):
        assert sweep(tmp_path / place, 0.5) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert words in line


def test_the_reason_is_that_of_the_last_try(tmp_path):
    one = Job(Run("a", (), ()), tmp_path / "a")
    for reason in ("first", "second"):
        one.fail(reason)
        assert WorkDirectory(one.path).failure() == reason
    (one.path / "config.gin").write_text("train.seed = 1\n")
    one.fail("of the sweep alone")
    assert WorkDirectory(one.path).failure() == "second"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--seeds=0", "--gin_file=digits/rigl.gin"], "--workdir is missing"),
        (["--workdir=w"], "the sweep is empty"),
        (["--workdir=w", "--seeds=0"], "the runs have no configuration"),
        (
            ["--workdir=w", "--seeds=0", "--gin_param=a.b=1", "--jobs=0"],
            "--jobs must be a positive",
        ),
    ],
)
def test_bad_flags(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["sweep", *arguments]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not list(tmp_path.iterdir())


STUDY = """
gin_file = "digits/base.gin"
gin_param = ["train.epochs=2", "train.batch_size=200"]
seeds = [0, 1, 2]

[grid]
gin_file = ["digits/static.gin", "digits/set.gin", "digits/rigl.gin"]
train.sparsity = [0.8, 0.9, 0.95]
"""
TIMES = ("wall_seconds", "steps_per_second")


@pytest.mark.slow
def test_a_sweep_that_is_killed_ends_as_one_that_is_not(tmp_path):
    (tmp_path / "study.toml").write_text(STUDY)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([ROOT, *sys.path])}

    def begin(workdir):
        arguments = ["sweep", f"--sweep_file={tmp_path / 'study.toml'}", f"--workdir={workdir}"]
        return subprocess.Popen(
            [sys.executable, "-m", "keras_tickets", *arguments, "--jobs=2"],
            env=environment,
            stdout=subprocess.DEVNULL,
        )

    def finished():
        return {file.parent for file in (tmp_path / "killed").glob("*/summary.json")}

    process = begin(tmp_path / "killed")
    while process.poll() is None and len(finished()) < 13:
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = {path: (path.stat().st_ino, times(path)) for path in finished()}
    assert 13 <= len(kept) < 27
    assert begin(tmp_path / "killed").wait() == 0
    assert {path: (path.stat().st_ino, times(path)) for path in kept} == kept
    assert begin(tmp_path / "whole").wait() == 0
    assert len(finished()) == 27
    for path in finished():
        killed, whole = (
            summary_of(folder / path.name) for folder in (tmp_path / "killed", tmp_path / "whole")
        )
        assert killed == whole


def summary_of(path):
    summary = read_summary(path / "summary.json")
    return {name: value for name, value in summary.items() if name not in TIMES}
