"""The directory that keeps what a run of pruning levels has reached."""

import contextlib
import json
import os
import pathlib
import shutil
from collections.abc import Iterator

from keras_tickets._files.checkpoints import (
    list_checkpoints,
    read_checkpoint,
    write_checkpoint,
)
from keras_tickets._files.home import expand_home
from keras_tickets._files.replaced_file import write_csv, write_text
from keras_tickets.tickets import Ticket, load_ticket

try:
    import fcntl
except ImportError:  # Windows has none: there, one process at a time is up to the user
    fcntl = None

SETTINGS = "settings.json"
RESULT = "result.json"
METRICS = "metrics.csv"
REWIND_POINT = "rewind_point"


class LevelStore:
    """Names and writes the files of levels; each file is complete or not there.

    A store holds `settings.json`, `rewind_point/` (the state at step k), and for each level a
    directory `level_NN` with `ticket.safetensors` (the mask and the weights it starts from),
    `trained.safetensors` (the mask and the weights it ends with), `metrics.csv` (a row for each
    epoch) and `result.json`, which marks it as finished. A control is a directory of the same form
    inside its level's.

    Args:
        path: The directory; need not exist.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = expand_home(path)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the store for this process alone; another one waits until this is done."""
        self.path.mkdir(parents=True, exist_ok=True)
        with open(self.path / ".lock", "w") as file:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def open(self, settings: dict) -> None:
        """Makes the store one of these settings, or checks that it is.

        Args:
            settings: What decides the results of a level; must be representable in JSON.

        Raises:
            ValueError: The store is of other settings; all that differ are named.
        """
        file = self.path / SETTINGS
        if not file.exists():
            _write_json(file, settings)
            return
        before, now = _flat(_read_json(file)), _flat(json.loads(json.dumps(settings)))
        differences = [
            f"{name} is {now.get(name)!r}, was {before.get(name)!r}"
            for name in dict.fromkeys([*before, *now])
            if before.get(name) != now.get(name)
        ]
        if differences:
            raise ValueError(
                f"Store {str(self.path)!r} holds levels of another configuration: "
                f"{'; '.join(differences)}. Choose another directory."
            )

    def level(self, level: int, control: str | None = None) -> pathlib.Path:
        """Directory of a level, or of a control at that level."""
        directory = self.path / f"level_{level:02d}"
        return directory / control if control else directory

    def ticket(self, level: int, control: str | None = None) -> Ticket | None:
        """The ticket that a level starts from; `None` where it is not there yet."""
        file = self.level(level, control) / "ticket.safetensors"
        return load_ticket(file) if file.exists() else None

    def trained(self, level: int, control: str | None = None) -> Ticket:
        """The masks and weights that a level ended with.

        Raises:
            FileNotFoundError: The level has not ended, or the file was removed.
            ValueError: The file is damaged.
        """
        return load_ticket(self.level(level, control) / "trained.safetensors")

    def result(self, level: int, control: str | None = None) -> dict | None:
        """The result of a finished level; `None` where it is not finished."""
        file = self.level(level, control) / RESULT
        return _read_json(file) if file.exists() else None

    def finish(self, level: int, control: str | None, result: dict, history: dict) -> None:
        """Writes the result and the metrics of a level, and removes its training's checkpoints.

        Args:
            level: The level.
            control: The control at that level, or `None`.
            result: What `result` returns.
            history: `{name: one value per epoch}`.
        """
        directory = self.level(level, control)
        write_csv(directory / METRICS, list(history), zip(*history.values(), strict=True))
        _write_json(directory / RESULT, result)
        shutil.rmtree(directory / "checkpoints", ignore_errors=True)

    def has_rewind_point(self) -> bool:
        """Whether the state at the rewind point has been written."""
        return bool(list_checkpoints(self.path / REWIND_POINT / "state"))

    def write_rewind_point(self, names: list[str], arrays: list) -> None:
        """Writes the state at the rewind point: an array for each name."""
        directory = self.path / REWIND_POINT
        write_checkpoint(directory / "state", 0, {"names": names}, arrays, keep=1)
        shutil.rmtree(directory / "checkpoints", ignore_errors=True)

    def read_rewind_point(self) -> dict:
        """What `write_rewind_point` wrote, `{name: array}`.

        Raises:
            ValueError: A file is damaged; the error names it.
        """
        (path,) = list_checkpoints(self.path / REWIND_POINT / "state")
        description, arrays = read_checkpoint(path)
        return dict(zip(description["names"], arrays, strict=True))


def _flat(settings, prefix=""):
    """Nested settings as one dict, `{"optimizer.config.momentum": 0.9}`."""
    flat = {}
    for name, value in settings.items():
        nested = isinstance(value, dict)
        flat |= _flat(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": value}
    return flat


def _read_json(file):
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"File {str(file)!r} is damaged: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"File {str(file)!r} is not of a store of levels: it holds no dict.")
    return content


def _write_json(file, content):
    write_text(file, json.dumps(content, indent=2) + "\n")
