"""The directory that keeps the progress of a run of pruning levels."""

import contextlib
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_tickets._files.atomic import remove_leftovers
from keras_tickets._files.checkpoints import (
    list_checkpoints,
    read_checkpoint,
    remove_checkpoints,
    write_checkpoint,
)
from keras_tickets._files.csv_files import write_csv
from keras_tickets._files.documents import read_document, write_document
from keras_tickets._files.home import expand_home
from keras_tickets._files.locks import locked
from keras_tickets._warnings import warn
from keras_tickets._workers.workers import Workers
from keras_tickets.tickets import Ticket, load_ticket, save_ticket

LOCK = ".keras_tickets_levels"
SETTINGS, RESULT, METRICS = "settings.json", "result.json", "metrics.csv"
TICKET, TRAINED, CHECKPOINTS = "ticket.safetensors", "trained.safetensors", "checkpoints"
REWIND_POINT = "rewind_point"
SETTINGS_KIND, RESULT_KIND = "keras_tickets settings 1", "keras_tickets result 1"
SETTINGS_SCHEMA = {
    "rewind_to": int,
    "steps": int,
    "optimizer": dict,
    "kernels": {str: [int]},
    "initial_state": str,
}
LATER_SETTINGS = ("batch_size", "replicas")  # Stores of version 0.1.0.dev0 do not have them.
RESULT_SCHEMA = {
    "level": int,
    "density": float,
    "sparsity": float,
    "nonzeros": int,
    "steps": int,
    "ticket": str,
    "seconds": float,
}
_RUN = "config.gin"


class LevelStore:
    """Names, writes and reads the files of levels; each file is complete or not there.

    A store holds `settings.json`, `rewind_point/` (the state at step k), and for each level a
    directory `level_NN` with `ticket.safetensors` (the mask and the weights it starts from),
    `trained.safetensors` (the mask and the weights it ends with), `metrics.csv` (a row for each
    epoch) and `result.json`, which marks it as finished. A control is a directory of the same form
    inside its level's.

    Args:
        path: The directory; need not exist.

    Attributes:
        workers: The processes that train the levels together: all read, the chief writes.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = expand_home(path)
        self.workers = Workers(tf.distribute.get_strategy())

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Locks the store for these workers; another process waits until they are done.

        Raises:
            ValueError: The directory is not a store; it is left unchanged.
            OSError: It cannot be created or written.
        """
        with contextlib.ExitStack() as stack:
            self.workers.chief_alone(lambda: stack.enter_context(self._own()))
            yield

    @contextlib.contextmanager
    def _own(self):
        self._check_own()
        self.path.mkdir(parents=True, exist_ok=True)
        with locked(self.path / LOCK, busy=self._say_that_it_waits):
            yield

    def open(self, settings: dict) -> None:
        """Creates the store with these settings, or checks that it has them.

        Args:
            settings: Everything that determines the results of a level; must be representable in
                JSON.

        Raises:
            ValueError: The store has other settings (the error names all that differ), or a file is
                damaged.
        """
        self.workers.chief_first(lambda: self._open(settings))

    def _open(self, settings):
        if (written := self._settings()) is None:
            if not self.workers.writes:
                raise ValueError(
                    f"Store {str(self.path)!r} must be a directory that all workers share: worker "
                    f"{self.workers.index} does not find what worker 0 wrote"
                )
            write_document(self.path / SETTINGS, SETTINGS_KIND, settings)
            return
        before, now = _flat(written), _flat(json.loads(json.dumps(settings)))
        differences = [
            f"{name} is {now.get(name)!r}, was {before.get(name)!r}"
            for name in dict.fromkeys([*before, *now])
            if before.get(name) != now.get(name) and (name in before or name not in LATER_SETTINGS)
        ]
        if differences:
            raise ValueError(
                f"Store {str(self.path)!r} holds levels of another configuration: "
                f"{'; '.join(differences)}. Choose another directory."
            )
        if self.workers.writes:
            self._remove_leftovers()

    def level(self, level: int, control: str | None = None) -> pathlib.Path:
        """Directory of a level, or of a control at that level."""
        directory = self.path / f"level_{level:02d}"
        return directory / control if control else directory

    def ticket(self, level: int, control: str | None = None) -> Ticket | None:
        """The ticket that a level starts from; `None` if it does not exist yet.

        Raises:
            ValueError: The file is damaged, or is of another level or another store.
        """
        file = self.level(level, control) / TICKET
        if not file.exists():
            return None
        ticket = load_ticket(file)
        self._check_place(file, ticket, level, control)
        result = self.result(level, control)
        if result is not None and result["ticket"] != ticket.digest:
            raise ValueError(f"Ticket file {str(file)!r} is not the one that {RESULT} names.")
        return ticket

    def trained(self, level: int, control: str | None = None) -> Ticket:
        """The final masks and weights of a level.

        Raises:
            FileNotFoundError: The level has not ended, or the file was removed.
            ValueError: The file is damaged, or is of another level or another store.
        """
        file = self.level(level, control) / TRAINED
        trained = load_ticket(file)
        self._check_place(file, trained, level, control)
        result = self.result(level, control)
        if result is not None and result["ticket"] != trained.provenance.get("parent"):
            raise ValueError(f"File {str(file)!r} is not of the ticket that {RESULT} names.")
        return trained

    def write_ticket(
        self, level: int, control: str | None, network: keras.Model, provenance: dict
    ) -> Ticket:
        """Writes the masks and weights that a level starts from, and returns them.

        Args:
            level: The level.
            control: The control at that level, or `None`.
            network: The `kt.SparseModel` that has them.
            provenance: Where the ticket comes from, stored in it.
        """
        file = self.level(level, control) / TICKET

        def write_or_read():
            if not self.workers.writes:
                return load_ticket(file)
            file.parent.mkdir(parents=True, exist_ok=True)
            return save_ticket(file, network, provenance=provenance)

        return self.workers.chief_first(write_or_read)

    def write_trained(
        self, level: int, control: str | None, network: keras.Model, provenance: dict
    ) -> None:
        """Writes the final masks and weights of a level, unless they are already there.

        Args:
            level: The level.
            control: The control at that level, or `None`.
            network: The `kt.SparseModel` that has them.
            provenance: Where they come from, stored in the file.
        """
        file = self.level(level, control) / TRAINED
        if self.workers.writes and not file.exists():
            save_ticket(file, network, provenance=provenance)

    def result(self, level: int, control: str | None = None) -> dict[str, Any] | None:
        """The result of a finished level; `None` if it is not finished.

        Raises:
            ValueError: The file is damaged, or is of another level.
        """
        file = self.level(level, control) / RESULT
        if not file.exists():
            return None
        result = read_document(file, RESULT_KIND, RESULT_SCHEMA)
        if (result["level"], result.pop("control", control)) != (level, control):
            raise ValueError(f"File {str(file)!r} is of another level: {result['level']}.")
        return result

    def finish(self, level: int, control: str | None, result: dict, history: dict) -> None:
        """Writes the result and the metrics of a level, and removes its training's checkpoints.

        Args:
            level: The level.
            control: The control at that level, or `None`.
            result: What `result` returns.
            history: `{name: one value per epoch}`.
        """
        directory = self.level(level, control)

        def write():
            write_csv(directory / METRICS, list(history), zip(*history.values(), strict=True))
            write_document(directory / RESULT, RESULT_KIND, {**result, "control": control})
            remove_checkpoints(directory / CHECKPOINTS)

        self.workers.chief_alone(write)

    @property
    def rewind_point(self) -> pathlib.Path:
        """Directory of the training to the rewind point."""
        return self.path / REWIND_POINT

    def has_rewind_point(self) -> bool:
        """Whether the state at the rewind point has been written."""
        return bool(list_checkpoints(self._state))

    def write_rewind_point(self, names: list[str], arrays: list[np.ndarray]) -> None:
        """Writes the state at the rewind point: an array for each name."""

        def write():
            description = {"names": names, **self._start()}
            write_checkpoint(self._state, 0, description, arrays, keep=1)
            remove_checkpoints(self.rewind_point / CHECKPOINTS)

        self.workers.chief_alone(write)

    def read_rewind_point(self) -> dict[str, np.ndarray]:
        """What `write_rewind_point` wrote, `{name: array}`.

        Raises:
            ValueError: A file is damaged, or of another store; the error names it.
        """
        (path,) = list_checkpoints(self._state)
        description, arrays = read_checkpoint(path, {"names": [str]})
        if not _same_start(description, self._start()):
            raise ValueError(f"Checkpoint {str(path)!r} is of a run from other first weights.")
        return dict(zip(description["names"], arrays, strict=True))

    @property
    def _state(self) -> pathlib.Path:
        return self.rewind_point / "state"

    def _settings(self) -> dict[str, Any] | None:
        file = self.path / SETTINGS
        return read_document(file, SETTINGS_KIND, SETTINGS_SCHEMA) if file.exists() else None

    def _start(self) -> dict[str, str]:
        """What the files of all runs from the same first weights share."""
        settings = self._settings()
        return {} if settings is None else {"initial_state": settings["initial_state"]}

    def _check_own(self):
        """Raises an error if the directory belongs to something other than levels or a run."""
        if not self.path.exists():
            return
        if not self.path.is_dir():
            raise NotADirectoryError(f"store {str(self.path)!r} is not a directory")
        names = {path.name for path in self.path.iterdir()}
        others = sorted(name for name in names if not name.startswith("."))
        if self._settings() is None and _RUN not in names and others:
            raise ValueError(
                f"Store {str(self.path)!r} holds {others[0]!r} and no levels: choose an empty or "
                "new directory."
            )
        for path in [*self._levels(), self.rewind_point, self._state]:
            if path.is_symlink():
                raise ValueError(f"{str(path)!r} is a link; a store of levels has none.")

    def _check_place(self, file, ticket, level, control):
        """Raises an error if a ticket has another level, control or first weights."""
        found = ticket.provenance
        if (found.get("level"), found.get("control")) != (level, control):
            raise ValueError(
                f"Ticket file {str(file)!r} is of level {found.get('level')!r}, control "
                f"{found.get('control')!r}."
            )
        if not _same_start(found.get("settings", {}), self._start()):
            raise ValueError(f"Ticket file {str(file)!r} is of a run from other first weights.")

    def _remove_leftovers(self):
        """Removes what killed runs left behind."""
        finished = [level for level in self._levels() if (level / RESULT).exists()]
        if self.has_rewind_point():
            finished.append(self.rewind_point)
        for directory in finished:
            remove_checkpoints(directory / CHECKPOINTS)
        for directory in [self.path, self._state, *self._levels()]:
            remove_leftovers(directory)

    def _levels(self) -> list[pathlib.Path]:
        """The existing directories of levels and controls."""
        levels = [*self.path.glob("level_*/"), *self.path.glob("level_*/*/")]
        return [path for path in levels if path.name != CHECKPOINTS]

    def _say_that_it_waits(self):
        warn(f"Store {str(self.path)!r} is in use by another process; waiting until that is done.")


def _same_start(found, start) -> bool:
    """Whether two files are from runs with the same first weights, as far as both record it."""
    key = "initial_state"
    return key not in found or key not in start or found[key] == start[key]


def _flat(settings, prefix=""):
    """Nested settings as one dict, `{"optimizer.config.momentum": 0.9}`."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        nested = isinstance(value, dict)
        flat |= _flat(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": value}
    return flat
