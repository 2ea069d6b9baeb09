"""What the runs below a directory have come to, and the table of them."""

import json
import os
import subprocess
import sys
import time

import pytest
from faults import kill, start

from keras_tickets.experiments import cli
from keras_tickets.experiments.run_states import RunState, find_runs, main_metric, state_of
from keras_tickets.experiments.run_table import render_runs
from keras_tickets.experiments.work_directory import LOCK, WorkDirectory

CONFIG = "train.seed = 3\ntrain.optimizer = @RigL\ntrain.sparsity = 0.9\ntrain.epochs = 4\n"
SUMMARY = {"steps": 88, "test_loss": 0.2, "test_accuracy": 0.9712, "seed": 3, "method": "rigl"}


def begun(path, config=CONFIG):
    directory = WorkDirectory(path)
    directory.path.mkdir(parents=True)
    directory.begin(config)
    return directory


def finished(path, **changes):
    directory = begun(path)
    directory.finish({**SUMMARY, "sparsity": 0.9, **changes})
    return directory


def hold(directory):
    """The id of a process that trains in it, as far as others can see."""

    def use():
        with directory.in_use():
            time.sleep(100)

    process = start(use)
    while not (directory.path / LOCK).exists() or not directory.is_in_use():
        time.sleep(0.001)
    return process


def names_and_times(folder):
    return {path: path.lstat().st_mtime_ns for path in [folder, *folder.rglob("*")]}


def test_a_run_is_finished_running_interrupted_or_failed(tmp_path):
    directory = begun(tmp_path / "run")
    assert state_of(directory.path).state == "interrupted"
    process = hold(directory)
    assert state_of(directory.path).state == "running"
    kill(process)
    assert (directory.path / LOCK).exists()
    assert state_of(directory.path).state == "interrupted"
    directory.fail("the loss is nan")
    failed = state_of(directory.path)
    assert (failed.state, failed.reason) == ("failed", "the loss is nan")
    directory.begin(CONFIG)
    assert state_of(directory.path).state == "interrupted"
    directory.finish(SUMMARY)
    assert state_of(directory.path).state == "finished"


def test_what_an_unfinished_run_says_of_itself(tmp_path):
    directory = begun(tmp_path / "run")
    directory.note_progress(33, 88)
    state = state_of(directory.path)
    assert (state.step, state.steps, state.method, state.seed, state.sparsity) == (
        33,
        88,
        "rigl",
        3,
        0.9,
    )
    directory.finish(SUMMARY)
    assert sorted(os.listdir(directory.path)) == ["config.gin", "summary.json"]


@pytest.mark.parametrize(
    "config, method",
    [
        ("train.optimizer = @SGD\ntrain.sparsity = None\n", "dense"),
        ("train.optimizer = @GradualMagnitude\ntrain.sparsity = 0.5\n", "gradual_magnitude"),
        ("train.optimizer = @kt.optimizers.SNFS\ntrain.sparsity = 0.5\n", "snfs"),
        ("train.optimizer = @SGD\ntrain.sparsity = 0.5\ntrain.scores = @snip\n", "snip"),
        ("train.optimizer = @SGD\ntrain.procedure = @tickets()\n", "tickets"),
        ("nothing = 1\n", None),
    ],
)
def test_the_method_that_a_configuration_asks_for(config, method, tmp_path):
    assert state_of(begun(tmp_path / "run", config).path).method == method


def test_a_run_of_an_older_version_has_its_progress_from_its_metrics(tmp_path):
    directory = begun(tmp_path / "run")
    directory.write_metrics(("epoch", "step", "loss"), [(1, 22, 0.5), (2, 44, 0.4)])
    state = state_of(directory.path)
    assert (state.step, state.steps) == (44, 88)


@pytest.mark.parametrize("content", [b"", b"epoch,step\n", b"epoch,step\nx,y\n", b"\xff\xff"])
def test_metrics_that_say_nothing(content, tmp_path):
    directory = begun(tmp_path / "run")
    (directory.path / "metrics.csv").write_bytes(content)
    assert state_of(directory.path).step is None


def test_a_task_without_accuracy_has_its_own_metric():
    names = ["loss", "mean_absolute_error", "largest"]
    assert main_metric({f"test_{name}": 0.5 for name in names}) == "mean_absolute_error"
    assert main_metric({"test_loss": 0.5}) == "loss"


def test_list_shows_all_and_writes_nothing(tmp_path, capsys):
    finished(tmp_path / "b")
    begun(tmp_path / "deep" / "a").note_progress(33, 88)
    begun(tmp_path / "c").fail("the loss is nan at step 7")
    WorkDirectory(tmp_path / "never_began").fail("there is no data set of this name")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "summary.json").write_text("years of work")
    (tmp_path / "thesis" / "failure.json").write_text("none")
    process = hold(begun(tmp_path / "d"))
    before = names_and_times(tmp_path)
    assert cli.main(["list", str(tmp_path)]) == 0
    assert names_and_times(tmp_path) == before
    kill(process)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    rows = {line.split()[0]: line.split()[1:] for line in lines[2:7]}
    assert rows == {
        "b": ["finished", "88", "0.9712", "rigl", "3", "0.9"],
        "c": ["failed", "rigl", "3", "0.9"],
        "d": ["running", "rigl", "3", "0.9"],
        "deep/a": ["interrupted", "33", "of", "88", "rigl", "3", "0.9"],
        "never_began": ["failed"],
    }
    assert lines[0].split() == ["state", "step", "test", "accuracy", "method", "seed", "sparsity"]
    assert lines[7:] == [
        "c: the loss is nan at step 7",
        "never_began: there is no data set of this name",
        "1 finished, 2 failed, 1 running, 1 interrupted",
    ]


def test_runs_of_several_tasks_name_their_metrics(tmp_path, capsys):
    finished(tmp_path / "a")
    directory = begun(tmp_path / "b")
    directory.finish({"steps": 1, "test_loss": 0.2, "test_mean_absolute_error": 0.25})
    assert cli.main(["list", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "accuracy 0.9712" in out and "mean_absolute_error 0.2500" in out


def test_damaged_and_older_runs_are_one_line_each(tmp_path, capsys):
    finished(tmp_path / "older")
    (tmp_path / "older" / "summary.json").write_text(json.dumps(SUMMARY))
    finished(tmp_path / "damaged")
    (tmp_path / "damaged" / "summary.json").write_text('{"steps')
    assert cli.main(["list", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "0.9712" in out and "1 failed, 1 finished" in out
    assert "summary.json' is damaged" in " ".join(out.split())


# Fields of a summary, of types and sizes that no run writes.
STRANGE = {
    "method": 5,
    "seed": [1],
    "config": "x",
    "sizes": {"bit_mask": "x"},
    "levels": [None],
    "test_accuracy": 10**400,
    "dataset": "\ud800",
}


@pytest.mark.parametrize("field", STRANGE)
def test_strange_summaries_hide_no_other_run(field, tmp_path, capsys):
    finished(tmp_path / "good", dataset="digits", model="m", config={"train.epochs": 1})
    finished(tmp_path / "strange")
    text = json.dumps({**SUMMARY, field: STRANGE[field]})
    (tmp_path / "strange" / "summary.json").write_text(text)
    assert cli.main(["list", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "0.9712" in out and out.endswith("1 finished, 1 failed\n")
    with pytest.warns(UserWarning, match="strange.*is damaged, or of another kind"):
        assert cli.main(["report", str(tmp_path), "--format=csv"]) == 0
    assert capsys.readouterr().out.count("\n") == 2


@pytest.mark.parametrize(
    "name, content",
    [
        ("config.gin", "train.procedure = []\n"),
        ("config.gin", f"train.sparsity = {'9' * 400}\n"),
        ("metrics.csv", "epoch,step\n1,2,3\n"),
        ("metrics.csv", "epoch,step\n" + "x" * 200_000),
        ("progress.json", '{"step": 1, "steps": 0}'),
        ("config.gin", None),
        ("metrics.csv", None),
    ],
)
def test_strange_files_hide_no_other_run(name, content, tmp_path, capsys):
    finished(tmp_path / "good")
    begun(tmp_path / "strange")
    file = tmp_path / "strange" / name
    file.unlink(missing_ok=True)
    if content is None:
        os.mkfifo(file)  # reading it would never end
    else:
        file.write_text(content)
    assert cli.main(["list", str(tmp_path)]) == 0
    assert capsys.readouterr().out.endswith("1 finished, 1 interrupted\n")
    with pytest.warns(UserWarning, match="strange"):
        assert cli.main(["report", str(tmp_path), "--format=csv"]) == 0


def test_a_terminal_obeys_nothing_that_a_run_says(tmp_path, capsys):
    begun(tmp_path / "a\x1b[2J").fail("red \x1b[31m\nnext\rline")
    begun(tmp_path / os.fsdecode(b"b\xff"))
    assert cli.main(["list", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "red \ufffd[31m next line" in out and "a\ufffd[2J" in out and "b?" in out
    assert out.isascii() or not {*"\x1b\r\xff"} & {*out}


@pytest.mark.parametrize("words, message", [(["empty"], "no run below"), (["no"], "no directory")])
def test_nothing_to_list(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert cli.main(["list", *words]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line.replace("is not a directory", "no directory")


def test_links_are_not_followed(tmp_path):
    finished(tmp_path / "runs" / "a")
    (tmp_path / "runs" / "b").symlink_to(tmp_path / "runs")
    assert list(find_runs(tmp_path / "runs")) == [tmp_path / "runs" / "a"]


def test_list_needs_no_tensorflow(tmp_path):
    finished(tmp_path / "a")
    code = (
        "import sys; sys.argv[0] = 'keras-tickets'\n"
        "from keras_tickets.experiments.cli import main\n"
        f"assert main(['list', {str(tmp_path)!r}]) == 0\n"
        "sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_columns_that_names_repeat_leave_room_for_the_others(tmp_path):
    states = [
        RunState(tmp_path / name, "finished", None, 14, 14, "accuracy", 0.9, method, 0, 0.95)
        for method in ("rigl", "static")
        for name in (f"digits-{method}_sparsity=0.95_seed=0",)
    ]
    text = render_runs(states, tmp_path)
    assert "digits-static_sparsity=0.95_seed=0" in text and "method" not in text
    assert max(map(len, text.splitlines())) <= 80
