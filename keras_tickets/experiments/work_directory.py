"""The directory of one run of the training binary."""

import ast
import contextlib
import os
import pathlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from keras_tickets._files.atomic import remove_leftovers, replace_file, replacing, rooms_in
from keras_tickets._files.csv_files import write_csv
from keras_tickets._files.documents import read_document, write_document
from keras_tickets._files.home import expand_home
from keras_tickets._files.locks import is_locked, locked
from keras_tickets._files.reading import read_text
from keras_tickets._files.run_files import (
    CONFIG,
    MODEL,
    SUMMARY,
    SUMMARY_FIELDS,
    SUMMARY_KIND,
    SUMMARY_SCHEMA,
)
from keras_tickets._files.schemas import check_schema

if TYPE_CHECKING:  # whoever lists runs does not wait for TensorFlow
    import keras

LOCK = ".keras_tickets_run"
MOST_SHOWN = 5
FAILURE, FAILURE_KIND, FAILURE_SCHEMA = "failure.json", "keras_tickets failure 1", {"reason": str}
PROGRESS, PROGRESS_KIND = "progress.json", "keras_tickets progress 1"
PROGRESS_SCHEMA = {"step": int, "steps": int}
_MOST_STEPS, _MOST_BITS = 2**63, 1000
RESULT = "test_"
# Settings that runs of version 0.1.0 do not have, with the values that they were run with.
ADDED = {
    "train.loss": None,
    "train.metrics": None,
    "train.callbacks": (),
    "train.stretch": 1.0,
    "train.mixed_precision": None,
    "train.label_smoothing": 0.0,
    "train.replicas": None,
}


class WorkDirectory:
    """Names and writes what a run leaves behind; each file is complete or not there.

    Args:
        path: The directory; need not exist.
        writes: Whether this process writes: of several workers, the chief alone.

    Attributes:
        path: The directory.
        writes: Whether this process writes.
        checkpoints: Directory of the checkpoints in it.
        tensorboard: Directory of the TensorBoard logs in it.
    """

    def __init__(self, path: str | os.PathLike, writes: bool = True):
        self.path, self.writes = expand_home(path), writes
        self.checkpoints = self.path / "checkpoints"
        self.tensorboard = self.path / "tensorboard"

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Makes the directory where it is missing, and holds it for this process alone.

        Raises:
            ValueError: The directory holds other files than those of a run; they are left alone.
            OSError: Another process is using it; or it cannot be made or written.
        """
        self._check_own()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(
                f"work directory {str(self.path)!r} cannot be made: {error.strerror}"
            ) from error
        with locked(self.path / LOCK, busy=self._refuse):
            yield

    def open(
        self, config: str, extends: Callable[[str, Any, Any], bool] = lambda *values: False
    ) -> dict[str, Any] | None:
        """Checks that the directory is one of a run of this configuration, or of none.

        Args:
            config: The configuration, one `name = value` a line.
            extends: Called with the name of a setting that differs and its values before and now;
                returns whether the run may go on with the new one.

        Returns:
            The summary where the run is finished, otherwise None.

        Raises:
            ValueError: The directory holds a run of another configuration, or other files; or a
                file is damaged.
            OSError: A file cannot be read.
        """
        self._check_own()
        file = self.path / CONFIG
        if not file.exists():
            return None
        before, now = settings(_read(file)), settings(config)
        before = {name: value for name, value in ADDED.items() if name in now} | before
        differences = {
            name: f"{name} is {_shown(now, name)}, was {_shown(before, name)}"
            for name in dict.fromkeys([*before, *now])
            if _shown(now, name) != _shown(before, name)
        }
        changed = [name for name in differences if name in before and name in now]
        refused = [name for name in changed if not extends(name, before[name], now[name])]
        # The settings of what is no longer used, or newly used, come last: they follow from others.
        refused += [name for name in differences if name not in changed]
        if refused:
            shown = [differences[name] for name in refused[:MOST_SHOWN]]
            if more := len(refused) - len(shown):
                shown.append(f"and {more} more")
            raise ValueError(
                f"work directory {str(self.path)!r} is of another configuration: "
                f"{'; '.join(shown)}. Choose another --workdir, or delete this one"
            )
        return None if differences else self._finished()

    def begin(self, config: str) -> None:
        """Writes `config.gin`, which makes the directory one of this configuration, unfinished.

        Raises:
            ValueError: Another process writes, and what it wrote is not to be found here.
        """
        if not self.writes:
            if not (self.path / CONFIG).exists():
                raise ValueError(
                    f"work directory {str(self.path)!r} must be one that all workers share: this "
                    "one does not find what worker 0 wrote"
                )
            return
        (self.path / SUMMARY).unlink(missing_ok=True)
        if self.failure() is not None:
            (self.path / FAILURE).unlink()
        replace_file(self.path / CONFIG, config.encode())

    def write_metrics(self, header: Sequence[str], rows: Iterable[Sequence]) -> None:
        """Writes `metrics.csv`.

        Args:
            header: Names of the columns.
            rows: The values.
        """
        if self.writes:
            write_csv(self.path / "metrics.csv", header, rows)

    def save_model(self, model: "keras.Model") -> None:
        """Saves the model as `model.keras`."""
        if not self.writes:
            return
        with replacing(self.path / MODEL) as temporary:
            model.save(temporary)

    def finish(self, summary: dict[str, Any]) -> dict[str, Any]:
        """Writes `summary.json`, which marks the run as finished, and returns the summary."""
        if self.writes:
            write_document(self.path / SUMMARY, SUMMARY_KIND, summary)
            if self.progress() is not None:
                (self.path / PROGRESS).unlink()
        return summary

    def fail(self, reason: str) -> None:
        """Writes down, in one line, why the run has failed; that it begins again removes it."""
        if not self.writes:
            return
        with contextlib.suppress(OSError):  # the failure may be a disk that is full
            self.path.mkdir(parents=True, exist_ok=True)
            write_document(self.path / FAILURE, FAILURE_KIND, {"reason": reason})

    def failure(self) -> str | None:
        """Why the run has failed; None where it has not, or the file is not one of ours."""
        found = _read_note(self.path / FAILURE, FAILURE_KIND, FAILURE_SCHEMA)
        return found["reason"] if found else None

    def note_progress(self, step: int, steps: int) -> None:
        """Writes down how far the run is: `step` of `steps`; that it finishes removes it."""
        if not self.writes:
            return
        with contextlib.suppress(OSError):  # what must be written will say that it cannot
            write_document(self.path / PROGRESS, PROGRESS_KIND, {"step": step, "steps": steps})

    def progress(self) -> tuple[int, int] | None:
        """The step, and the steps of the whole run; None where nothing says so."""
        found = _read_note(self.path / PROGRESS, PROGRESS_KIND, PROGRESS_SCHEMA)
        possible = found and 0 <= found["step"] <= _MOST_STEPS and 0 < found["steps"] <= _MOST_STEPS
        return (found["step"], found["steps"]) if found and possible else None

    def is_in_use(self) -> bool | None:
        """Whether a process trains in it; None where the file system does not say."""
        return is_locked(self.path / LOCK)

    def _finished(self):
        file = self.path / SUMMARY
        if not file.exists():
            return None
        if self.writes:
            remove_leftovers(self.path)
        return read_summary(file)

    def _check_own(self):
        """Raises an error where the directory holds files and no run."""
        if not self.path.is_dir():
            return
        rooms = {path.name for path in rooms_in(self.path)}
        names = {path.name for path in self.path.iterdir()}
        own = {LOCK} if self.failure() is None else {LOCK, FAILURE}
        others = sorted(names - rooms - own)
        if others and CONFIG not in names:
            raise ValueError(
                f"work directory {str(self.path)!r} holds {others[0]!r} but no run: choose an "
                "empty or new directory"
            )

    def _refuse(self):
        raise OSError(f"work directory {str(self.path)!r} is in use by another process")


def read_summary(file: str | os.PathLike) -> dict[str, Any]:
    """The summary in a `summary.json`.

    Raises:
        OSError: It cannot be read.
        ValueError: It is damaged, or another file of that name.
    """
    summary = read_document(file, SUMMARY_KIND, SUMMARY_SCHEMA)
    known = {name: SUMMARY_FIELDS[name] for name in SUMMARY_FIELDS if name in summary}
    try:
        check_schema(summary, known)
        for row in summary.get("levels", ()):
            check_schema(row.get("controls", {}), {str: dict}, "a level's controls")
        _check_values(summary)
    except ValueError as error:
        raise ValueError(f"file {str(file)!r} is damaged, or of another kind: {error}") from error
    results = {name: value for name, value in summary.items() if name.startswith(RESULT)}
    if not results or not all(isinstance(value, int | float) for value in results.values()):
        raise ValueError(f"file {str(file)!r} is damaged: its results are {results!r}")
    return summary


def _check_values(value: Any) -> None:
    """Checks that what is in a summary can be written as text, and its numbers as floats."""
    if isinstance(value, str):
        value.encode()  # half of a surrogate pair is an error
    elif isinstance(value, int) and value.bit_length() > _MOST_BITS:
        raise ValueError(f"it has a number of {value.bit_length()} bits")
    elif isinstance(value, dict | list):
        for one in [*value, *value.values()] if isinstance(value, dict) else value:
            _check_values(one)


def _read_note(file: pathlib.Path, kind: str, schema: dict) -> dict[str, Any] | None:
    """What a small file beside the run says, which nothing depends on; None without it."""
    try:
        return read_document(file, kind, schema)
    except (OSError, ValueError):
        return None


def _read(file: pathlib.Path) -> str:
    try:
        return read_text(file)
    except UnicodeDecodeError as error:
        raise ValueError(f"file {str(file)!r} is damaged: {error}") from error


def settings(config: str) -> dict[str, Any]:
    """The bindings of a gin configuration, without line breaks and comments.

    Args:
        config: The configuration, one `name = value` a line.

    Returns:
        `{name: value}`: the value of a Python literal, otherwise its text, such as "@SGD()".
    """
    lines = [line for line in config.splitlines() if line.strip() and not line.startswith("#")]
    logical = re.sub(r"\s*\\?\n\s+", " ", "\n".join(lines))
    pairs = [line.partition("=")[::2] for line in logical.splitlines() if "=" in line]
    return {name.strip(): _value(text.strip()) for name, text in pairs}


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return text


def _shown(values: dict[str, Any], name: str) -> str:
    if name not in values:
        return "not set"
    value = values[name]
    return value if isinstance(value, str) and value.startswith(("@", "%")) else repr(value)
