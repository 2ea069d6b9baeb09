"""Which runs of a sweep are finished, with the configurations that they were run with."""

import hashlib
import json
import pathlib
import re

from keras_tickets._files.documents import read_document, write_document
from keras_tickets.experiments import configurations
from keras_tickets.experiments.sweeps.sweep import RECORD, Run

KIND, SCHEMA = "keras_tickets sweep 1", {"finished": {str: str}}
_INCLUDE = re.compile(r"^[ \t]*include[ \t]+['\"](.+?)['\"]", re.MULTILINE)


class Record:
    """The runs that have ended well, each with a digest of what was asked for.

    One that is finished and not in here, or with other configurations than now, is given to
    `keras-tickets train`, which says whether it is still the same run.

    Args:
        directory: Directory of the sweep.

    Raises:
        ValueError: The record is damaged.
        OSError: It cannot be read.
    """

    def __init__(self, directory: pathlib.Path):
        self._file = directory / RECORD
        self._finished: dict[str, str] = {}
        if self._file.exists():
            self._finished = read_document(self._file, KIND, SCHEMA)["finished"]

    def has(self, run: Run) -> bool:
        """Whether a run has ended well with the same configurations."""
        return self._finished.get(run.name) == digest(run)

    def add(self, run: Run) -> None:
        """Writes down that a run has ended well."""
        self._finished[run.name] = digest(run)
        write_document(self._file, KIND, {"finished": self._finished})


def digest(run: Run) -> str:
    """A digest of a run's settings and of the text of its configurations."""
    texts: dict[str, str] = {}
    for name in run.gin_files:
        _read(name, pathlib.Path(), texts)
    asked = [list(texts.values()), run.gin_params, run.modules]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()


def _read(name: str, directory: pathlib.Path, texts: dict[str, str]) -> None:
    """Adds the text of a configuration, and of those that it includes, by their paths."""
    try:
        file = configurations.find(name, directory)
        text = file.read_text(encoding="utf-8")
    except (OSError, ValueError):  # the run itself will say so
        return
    if str(file) not in texts:
        texts[str(file)] = text
        for included in _INCLUDE.findall(text):
            _read(included, file.parent, texts)
