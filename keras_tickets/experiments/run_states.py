"""What the runs below a directory have come to; nothing is written and TensorFlow not needed."""

import csv
import dataclasses
import io
import os
import pathlib
import re
from collections.abc import Iterator
from typing import Any

from keras_tickets._files.reading import read_text
from keras_tickets._files.run_files import CONFIG, SUMMARY
from keras_tickets.experiments.work_directory import (
    FAILURE,
    RESULT,
    WorkDirectory,
    read_summary,
    settings,
)

FINISHED, RUNNING, INTERRUPTED, FAILED = "finished", "running", "interrupted", "failed"
UNFINISHED = "unfinished"  # Where the file system does not say whether a process is at it.
# Parameters of `train` that say what a run trains besides its optimizer, from the strongest.
PROCEDURES = {"@tickets()": "tickets", "@distill()": "distill"}


@dataclasses.dataclass(frozen=True)
class RunState:
    """One run, as far as its directory says.

    Attributes:
        path: The directory.
        state: "finished", "running", "interrupted" (no process is at it), "failed", or "unfinished"
            on a file system without locks.
        reason: Why it failed, in one line.
        step: The step it is at, if known.
        steps: The steps of the whole run, if known.
        metric: Name of what the test set says, such as "accuracy"; None before the end.
        value: Its value.
        method: Name of the method, if known.
        seed: The seed, if known.
        sparsity: Share of zeros over the masked kernels; the one asked for before the end.
        chosen_on: "validation" or "test", as in the summary.
        loss: The loss on the test set, once finished.
    """

    path: pathlib.Path
    state: str
    reason: str | None = None
    step: int | None = None
    steps: int | None = None
    metric: str | None = None
    value: float | None = None
    method: str | None = None
    seed: int | None = None
    sparsity: float | None = None
    chosen_on: str | None = None
    loss: float | None = None


def find_runs(directory: pathlib.Path) -> Iterator[pathlib.Path]:
    """The directories of runs, from `directory` down, in order; links are not followed."""
    for place, folders, files in os.walk(directory):
        if is_run(pathlib.Path(place), files):
            folders.clear()
            yield pathlib.Path(place)
        folders[:] = sorted(name for name in folders if not name.startswith("."))


def is_run(directory: pathlib.Path, files: list[str]) -> bool:
    """Whether a directory with these files is that of a run."""
    if CONFIG in files or FAILURE in files and WorkDirectory(directory).failure() is not None:
        return True
    try:
        return SUMMARY in files and bool(read_summary(directory / SUMMARY))
    except (OSError, ValueError):
        return False


def state_of(path: pathlib.Path) -> RunState:
    """What a run has come to.

    Args:
        path: Its directory.

    Example:

    ```python
    import pathlib, tempfile
    from keras_tickets.experiments.run_states import state_of
    from keras_tickets.experiments.work_directory import WorkDirectory

    path = pathlib.Path(tempfile.mkdtemp())
    WorkDirectory(path).begin("train.seed = 3\\n")
    assert (state_of(path).state, state_of(path).seed) == ("interrupted", 3)
    ```
    """
    directory = WorkDirectory(path)
    used = directory.is_in_use()
    if (path / SUMMARY).exists() and not used:
        try:
            return _finished(path, read_summary(path / SUMMARY))
        except (OSError, ValueError) as error:
            return RunState(path, FAILED, str(error))
    asked = _asked_for(path)
    step, steps = directory.progress() or _from_metrics(path, asked)
    state, reason = RUNNING, None
    if not used:
        reason = directory.failure()
        state = FAILED if reason else INTERRUPTED if used is False else UNFINISHED
    return RunState(
        path,
        state,
        reason,
        step,
        steps,
        method=_method(asked),
        seed=_number(asked.get("train.seed"), int),
        sparsity=_number(asked.get("distill.sparsity", asked.get("train.sparsity")), float),
    )


def _finished(path, summary) -> RunState:
    metric = main_metric(summary)
    return RunState(
        path,
        FINISHED,
        step=summary["steps"],
        steps=summary["steps"],
        metric=metric,
        value=summary[f"{RESULT}{metric}"],
        method=summary.get("method"),
        seed=_number(summary.get("seed"), int),
        sparsity=_number(summary.get("sparsity"), float),
        chosen_on=summary.get("chosen_on"),
        loss=summary.get(f"{RESULT}loss"),
    )


def main_metric(summary: dict[str, Any]) -> str:
    """The metric of a run's task: accuracy, or the first that is not the loss, or the loss.

    Args:
        summary: As `read_summary` returns it.

    Example:

    ```python
    from keras_tickets.experiments.run_states import main_metric

    assert main_metric({"test_loss": 0.1, "test_accuracy": 0.9}) == "accuracy"
    assert main_metric({"test_loss": 0.1, "test_mean_absolute_error": 0.2}) == "mean_absolute_error"
    ```
    """
    names = [name.removeprefix(RESULT) for name in summary if name.startswith(RESULT)]
    others = [name for name in names if name != "loss"]
    return "accuracy" if "accuracy" in names else (others or names)[0]


def _asked_for(path: pathlib.Path) -> dict[str, Any]:
    """The settings of a run; none where its configuration cannot be read."""
    try:
        return settings(read_text(path / CONFIG))
    except (OSError, ValueError):
        return {}


def _method(asked: dict[str, Any]) -> str | None:
    """The name of the method that settings ask for, as its summary will have it."""
    procedure = asked.get("train.procedure")
    if isinstance(procedure, str) and procedure in PROCEDURES:
        return PROCEDURES[procedure]
    if scores := asked.get("train.scores"):
        return _last(scores)
    if "train.optimizer" not in asked:
        return None
    masked = asked.get("train.sparsity") is not None or asked.get("train.ticket")
    name = re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", "_", _last(asked["train.optimizer"])).lower()
    return name if masked else "dense"


def _last(reference: Any) -> str:
    return re.split(r"[./]", str(reference).lstrip("@").removesuffix("()"))[-1]


def _from_metrics(path: pathlib.Path, asked: dict[str, Any]) -> tuple[int | None, int | None]:
    """Progress of a run of an older version, which wrote down none but its metrics."""
    try:
        *_, last = csv.DictReader(io.StringIO(read_text(path / "metrics.csv")))
        step, epoch = int(last["step"]), int(last["epoch"])
        return step, step // epoch * int(asked["train.epochs"])
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError, csv.Error):
        return None, None


def _number(value: Any, kind: type) -> Any:
    whole = type(value) is int and abs(value) < 2**63
    return value if whole or kind is float and isinstance(value, float) else None
