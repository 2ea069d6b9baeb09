"""What a sweep shows while it runs."""

import io
import pathlib
import re

import pytest
from rich.console import Console

from keras_tickets.experiments.run_states import RunState
from keras_tickets.experiments.sweeps.display import Display, best_of, overview, seconds_left
from keras_tickets.experiments.sweeps.jobs import DONE, FAILED, LEFT, RUNNING, Job
from keras_tickets.experiments.sweeps.sweep import Run
from keras_tickets.experiments.work_directory import WorkDirectory


def job(name, status, **result):
    path = pathlib.Path("nowhere") / name
    state = RunState(path, "finished", **result) if status == DONE else None
    return Job(Run(name, (), ()), path, status, result=state)


def test_the_best_is_by_accuracy_or_else_by_loss():
    high = job("high", DONE, metric="accuracy", value=0.9, loss=0.5)
    low = job("low", DONE, metric="accuracy", value=0.8, loss=0.1)
    error = job("error", DONE, metric="mean_absolute_error", value=0.2, loss=0.3)
    assert best_of([high, low]) == "best on the test set: accuracy 0.9000, high"
    left = job("x", LEFT)
    assert best_of([low, error, left]) == "best so far on the test set: loss 0.1000, low"
    assert best_of([left]) == ""


def test_the_time_that_is_left():
    done, running, left = job("a", DONE), job("b", RUNNING), job("c", LEFT)
    done.seconds, running.began = 10.0, 100.0
    assert seconds_left([done, running, left], 1, {"b": 0.5}, now=105.0) == 15.0
    assert seconds_left([done, running, left], 2, {"b": 0.5}, now=105.0) == 7.5
    assert seconds_left([running, left], 1, {"b": 0.5}, now=104.0) == 12.0
    assert seconds_left([running, left], 1, {}, now=104.0) is None
    assert "; about 15 s left" in overview([done, running, left], 1, {"b": 0.5})


def test_one_table_in_a_terminal(tmp_path):
    console = Console(file=io.StringIO(), force_terminal=True, width=80, height=12)
    jobs = [job(f"digits-rigl_sparsity=0.9_seed={seed}", LEFT) for seed in range(20)]
    jobs[4] = job("digits-set_sparsity=0.9_seed=0", DONE, metric="accuracy", value=0.9)
    running = jobs[7]
    running.status, running.path = RUNNING, tmp_path
    WorkDirectory(tmp_path).note_progress(30, 60)
    jobs[2].status, jobs[2].reason = FAILED, "the loss is nan [/a] [red]"  # not markup
    display = Display(jobs, 2, console)
    with display.shown():
        display.tell(running)
        display.tell(None)
    printed = re.split(r"\n|\r|\x1b\[\d?[AK]", console.file.getvalue())
    lines = [re.sub(r"\x1b\[[\d;?]*\w", "", line) for line in printed]
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    assert re.search(r"digits-set\w*…\S*_seed=0 ", text)  # shortened once, in the middle
    assert (
        "━━━━━╌╌╌╌╌  50%" in text
        and "accuracy 0.9000" in text
        and "the loss is nan [/a] [red]" in text
    )
    assert "20 runs: 1 finished, 1 running, 1 failed, 17 left" in text


@pytest.mark.parametrize("width", [1, 40])
def test_a_narrow_terminal(width):
    console = Console(file=io.StringIO(), force_terminal=True, width=width, height=12)
    jobs = [job(f"digits-rigl_sparsity=0.9_seed={seed}", FAILED) for seed in range(2)]
    jobs[0].reason = jobs[1].reason = "there is no such data set \x1b]0;title"
    display = Display(jobs, 2, console)
    with display.shown():
        display.tell(jobs[0])
    printed = re.sub(r"\x1b\[[\d;?]*\w", "", console.file.getvalue())
    assert "\x1b" not in printed and max(map(len, re.split(r"[\n\r]", printed))) <= width
    assert width == 1 or re.search(r"digi…\S*ed=1 +failed", printed)
