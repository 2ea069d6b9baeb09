"""The directory of one run of the training binary."""

import contextlib
import csv
import io
import json
import os
import pathlib
import re
import uuid
from collections.abc import Iterable, Iterator, Sequence

import keras

PART = ".part_"


class WorkDirectory:
    """Names and writes what a run leaves behind; each file is complete or not there.

    Args:
        path: The directory; need not exist.

    Attributes:
        path: The directory.
        checkpoints: Directory of the checkpoints in it.
        tensorboard: Directory of the TensorBoard logs in it.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = pathlib.Path(path).expanduser()
        self.checkpoints = self.path / "checkpoints"
        self.tensorboard = self.path / "tensorboard"

    def open(self, config: str, extendable: Sequence[str] = ()) -> dict | None:
        """Makes the directory, or checks that it is one of a run of this configuration.

        Args:
            config: The configuration, one `name = value` a line.
            extendable: Names of settings that may differ: the run then goes on with the new ones.

        Returns:
            The summary where the run is finished, otherwise None.

        Raises:
            ValueError: The directory holds a run of another configuration, or other files.
            OSError: It cannot be made or written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(
                f"work directory {str(self.path)!r} cannot be made: {error.strerror}"
            ) from error
        file = self.path / "config.gin"
        if not file.exists():
            others = sorted(p.name for p in self.path.iterdir() if not p.name.startswith(PART))
            if others:
                raise ValueError(
                    f"work directory {str(self.path)!r} holds {others[0]!r} but no run: choose an "
                    "empty or new directory"
                )
            return None
        differences = _differences(file.read_text(encoding="utf-8"), config)
        refused = [words for name, words in differences.items() if name not in extendable]
        if refused:
            raise ValueError(
                f"work directory {str(self.path)!r} is of another configuration: "
                f"{'; '.join(refused)}"
            )
        return None if differences else self._finished()

    def begin(self, config: str) -> None:
        """Writes `config.gin`, which makes the directory one of this configuration, unfinished."""
        (self.path / "summary.json").unlink(missing_ok=True)
        self._write("config.gin", config)

    def write_metrics(self, header: Sequence[str], rows: Iterable[Sequence]) -> None:
        """Writes `metrics.csv`.

        Args:
            header: Names of the columns.
            rows: The values.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
        self._write("metrics.csv", text.getvalue())

    def save_model(self, model: keras.Model) -> None:
        """Saves the model as `model.keras`."""
        with self._replacing("model.keras") as temporary:
            model.save(temporary)

    def finish(self, summary: dict) -> dict:
        """Writes `summary.json`, which marks the run as finished, and returns the summary."""
        self._write("summary.json", json.dumps(summary, indent=2) + "\n")
        return summary

    def _finished(self):
        file = self.path / "summary.json"
        if not file.exists():
            return None
        try:
            return json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"file {str(file)!r} is damaged: {error}") from error

    def _write(self, name, text):
        with self._replacing(name) as temporary, open(temporary, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())

    @contextlib.contextmanager
    def _replacing(self, name) -> Iterator[pathlib.Path]:
        """A path to write, of this process alone, that takes the place of a file at the end."""
        temporary = self.path / f"{PART}{uuid.uuid4().hex}_{name}"
        try:
            yield temporary
            temporary.replace(self.path / name)
        finally:
            temporary.unlink(missing_ok=True)


def _differences(before: str, now: str) -> dict[str, str]:
    """The settings that differ between two configurations, each in words."""
    before, now = _settings(before), _settings(now)
    return {
        name: f"{name} is {now.get(name, 'not set')}, was {before.get(name, 'not set')}"
        for name in dict.fromkeys([*before, *now])
        if before.get(name) != now.get(name)
    }


def _settings(config: str) -> dict[str, str]:
    """`{name: value}` of the bindings in a gin configuration, without line breaks and comments."""
    lines = [line for line in config.splitlines() if line.strip() and not line.startswith("#")]
    logical = re.sub(r"\s*\\?\n\s+", " ", "\n".join(lines))
    pairs = [line.partition("=")[::2] for line in logical.splitlines() if "=" in line]
    return {name.strip(): value.strip() for name, value in pairs}
