"""Checkpoints in the format of version 0.1.0.dev0: still read, no longer written."""

import hashlib
import json
import pathlib
from typing import Any

import numpy as np

from keras_tickets._files.older_arrays import read_npz
from keras_tickets._files.reading import open_file
from keras_tickets._files.schemas import check_schema

OLDER_ARRAYS = "variables.npz"
_SCHEMA = {"format": int, "sha256": str}


def read_older_description(file: pathlib.Path, schema: dict[str, Any]) -> dict[str, Any]:
    """Reads the description of a checkpoint, whose digest covers only the arrays.

    Args:
        file: The JSON file.
        schema: Its form, as in `check_schema`.

    Raises:
        OSError: It cannot be read.
        ValueError: It is damaged, or of another format.
    """
    with open_file(file) as (opened, _):
        description = json.loads(opened.read())
    check_schema(description, {**schema, **_SCHEMA})
    if description["format"] != 1:
        raise ValueError(f"its format is {description['format']!r}, not 1")
    return description


def read_older_arrays(file: pathlib.Path, sha256: str) -> list[np.ndarray]:
    """Reads the arrays of a checkpoint.

    Args:
        file: The `.npz` file.
        sha256: The digest of its bytes, from the description.

    Raises:
        OSError: It cannot be read.
        ValueError: It is damaged, or not the file that was written.
    """
    with open_file(file) as (opened, size):
        if hashlib.file_digest(opened, "sha256").hexdigest() != sha256:
            raise ValueError(f"not the {size} bytes that were written")
    return [array for _, array in sorted(read_npz(file).items())]
