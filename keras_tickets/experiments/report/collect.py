"""Finds runs below directories, and reads what they left behind."""

import csv
import dataclasses
import io
import os
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from keras_tickets._files.home import expand_home
from keras_tickets._files.reading import read_text
from keras_tickets._files.topology_file import STATE, read_topology
from keras_tickets.experiments.work_directory import (
    CONFIG,
    SUMMARY,
    WorkDirectory,
    read_summary,
    settings,
)

METRICS = "metrics.csv"
# Summaries of the first version have neither a configuration nor versions.
OLDER = "its summary is of an older version; the configuration is that of config.gin"


@dataclasses.dataclass
class FoundRun:
    """A run, as far as its directory tells.

    Attributes:
        path: The directory.
        summary: What is in `summary.json`; empty while it is not finished.
        config: `{setting: value}`.
        metrics: The columns of `metrics.csv`, numbers by name.
        looks: `{column: value}` of each look at each kernel during training.
        first_kernel: Name, and masks before and after training, of the kernel next to the inputs.
        notes: What is to be said of it, a line each.
    """

    path: pathlib.Path
    summary: dict[str, Any] = dataclasses.field(default_factory=dict)
    config: dict[str, Any] = dataclasses.field(default_factory=dict)
    metrics: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    looks: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    first_kernel: tuple[str, np.ndarray, np.ndarray] | None = None
    notes: list[str] = dataclasses.field(default_factory=list)

    @property
    def finished(self) -> bool:
        """Whether it has results."""
        return bool(self.summary)

    @property
    def seed(self) -> Any:
        """Its seed, if known."""
        return self.summary.get("seed", self.config.get("train.seed"))


def collect(directories: Iterable[str | os.PathLike]) -> list[FoundRun]:
    """The runs in and below some directories, each once, in the order of their paths.

    Args:
        directories: Where to look.

    Raises:
        FileNotFoundError: There is no such directory.
        ValueError: There is no run in one of them.
    """
    found: dict[pathlib.Path, FoundRun] = {}
    for given in directories:
        directory = expand_home(given)
        if not directory.is_dir():
            raise FileNotFoundError(f"directory {str(directory)!r} does not exist")
        paths = list(_runs_below(directory))
        if not paths:
            what = "holds no run" if any(directory.iterdir()) else "is empty"
            raise ValueError(
                f"directory {str(directory)!r} {what}: a run of `keras-tickets train` has a "
                f"{CONFIG} and, once it is finished, a {SUMMARY}"
            )
        for path in paths:
            found.setdefault(path.resolve(), read_run(path))
    return list(found.values())


def _runs_below(directory: pathlib.Path) -> Iterator[pathlib.Path]:
    for place, folders, files in os.walk(directory):
        if CONFIG in files or SUMMARY in files:
            folders.clear()
            yield pathlib.Path(place)
        folders[:] = sorted(name for name in folders if not name.startswith("."))


def read_run(path: pathlib.Path) -> FoundRun:
    """A run; what cannot be read is named in its notes, and the rest is there."""
    run = FoundRun(path)
    try:
        if (path / CONFIG).exists():
            run.config = settings(read_text(path / CONFIG))
        if (path / SUMMARY).exists():
            run.summary = read_summary(path / SUMMARY)
            if "config" in run.summary:
                run.config = run.summary["config"] or run.config
            else:
                run.notes.append(OLDER)
        if (path / METRICS).exists():
            run.metrics = _columns(read_text(path / METRICS))
        _read_masks(run)
    except (OSError, ValueError, csv.Error) as error:
        run.notes.append(str(error))
    if not run.finished and not run.notes:
        failure = WorkDirectory(path).failure()
        said = f"it has failed: {failure}" if failure else f"it is not finished: {_progress(run)}"
        run.notes.append(said)
    return run


def _columns(text: str) -> dict[str, list[float]]:
    """Numbers by column; NaN for a cell that holds none."""
    reader = csv.DictReader(io.StringIO(text))
    rows = list(reader)
    return {name: [_number(row[name]) for row in rows] for name in reader.fieldnames or ()}


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return float("nan")


def _read_masks(run: FoundRun) -> None:
    """Reads what became of the masks; of levels, the first and the last."""
    levels = sorted(file.parent for file in run.path.glob(f"level_*/{STATE}"))
    topology = read_topology(run.path)
    if topology is not None:
        run.looks = topology.rows
        run.first_kernel = (topology.first_kernel, *topology.masks())
    elif levels:
        first, last = read_topology(levels[0]), read_topology(levels[-1])
        assert first is not None and last is not None  # they have just been listed
        run.looks = last.rows
        run.first_kernel = (first.first_kernel, first.masks()[0], last.masks()[1])


def _progress(run: FoundRun) -> str:
    epochs = run.config.get("train.epochs")
    done = run.metrics.get("epoch", [])
    of = f" of {epochs}" if isinstance(epochs, int) else ""
    return f"{len(done)}{of} epochs; the command that began it goes on with it"
