"""The directory of one run of the training binary."""

import json
import os
import pathlib
import re
from collections.abc import Iterable, Sequence

import keras

from keras_tickets._files.replaced_file import PART, replacing, write_csv, write_text


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
        write_text(self.path / "config.gin", config)

    def write_metrics(self, header: Sequence[str], rows: Iterable[Sequence]) -> None:
        """Writes `metrics.csv`.

        Args:
            header: Names of the columns.
            rows: The values.
        """
        write_csv(self.path / "metrics.csv", header, rows)

    def save_model(self, model: keras.Model) -> None:
        """Saves the model as `model.keras`."""
        with replacing(self.path / "model.keras") as temporary:
            model.save(temporary)

    def finish(self, summary: dict) -> dict:
        """Writes `summary.json`, which marks the run as finished, and returns the summary."""
        write_text(self.path / "summary.json", json.dumps(summary, indent=2) + "\n")
        return summary

    def _finished(self):
        file = self.path / "summary.json"
        if not file.exists():
            return None
        try:
            return json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"file {str(file)!r} is damaged: {error}") from error


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
