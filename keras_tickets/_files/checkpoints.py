"""Checkpoints on disk: one directory each, written to a temporary place, then renamed."""

import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_tickets._files.atomic import creating, remove_directory, remove_leftovers
from keras_tickets._files.documents import encode_document, read_document
from keras_tickets._files.mask_bits import pack_mask, unpack_mask
from keras_tickets._files.named_arrays import DIGEST, DTYPES, FORMAT, encode, read_arrays
from keras_tickets._files.older_checkpoints import (
    OLDER_ARRAYS,
    read_older_arrays,
    read_older_description,
)

KIND, ARRAYS_KIND = "keras_tickets checkpoint 2", "keras_tickets checkpoint variables 2"
ARRAYS, DESCRIPTION = "variables.safetensors", "checkpoint.json"
_FILES = {ARRAYS, DESCRIPTION, OLDER_ARRAYS}
_NAME = re.compile(r"epoch_\d{6,}")
_SCHEMA = {"epoch": int, "dtypes": [str], "shapes": [[int]]}


def list_checkpoints(directory: pathlib.Path) -> list[pathlib.Path]:
    """Lists the checkpoints in a directory, oldest first.

    Args:
        directory: As in `write_checkpoint`; need not exist.

    Returns:
        Paths of directories named `epoch_NNNNNN`.

    Raises:
        NotADirectoryError: `directory` is something else.
        ValueError: Something has the name of a checkpoint but is not one.
    """
    if not directory.exists():
        return []
    if not directory.is_dir():
        raise NotADirectoryError(f"{str(directory)!r} is not a directory, to keep checkpoints in")
    found = [path for path in directory.iterdir() if _NAME.fullmatch(path.name)]
    for path in found:
        own = path.is_dir() and not path.is_symlink()
        if not own or {child.name for child in path.iterdir()} - _FILES:
            raise ValueError(
                f"{str(path)!r} has the name of a checkpoint and is not one: choose another "
                "directory for checkpoints, or move it"
            )
    return sorted(found, key=_epoch)


def write_checkpoint(
    directory: pathlib.Path,
    epoch: int,
    description: Mapping[str, Any],
    arrays: Sequence[np.ndarray],
    keep: int,
) -> pathlib.Path:
    """Writes a checkpoint, and removes all but the newest `keep`.

    Args:
        directory: Directory of all checkpoints, created if it is missing.
        epoch: Number of trained epochs.
        description: What to store beside the arrays; must be representable in JSON.
        arrays: The values, of any numeric dtype; booleans are written as bits.
        keep: Number of checkpoints to keep.

    Returns:
        The path of the new checkpoint.

    Raises:
        OSError: It cannot be written; the checkpoints before it stay.
    """
    target = directory / f"epoch_{epoch:06d}"
    plain = {f"{i:06d}": _plain(array) for i, array in enumerate(arrays)}
    content, digest = encode(plain, {FORMAT: ARRAYS_KIND})
    head = {
        "epoch": epoch,
        "arrays": digest,
        "dtypes": [array.dtype.name for array in arrays],
        "shapes": [array.shape for array in arrays],
        **description,
    }
    directory.mkdir(parents=True, exist_ok=True)
    if target in list_checkpoints(directory):
        remove_directory(target)
    with creating(target) as temporary:
        temporary.mkdir()
        (temporary / ARRAYS).write_bytes(content)
        (temporary / DESCRIPTION).write_bytes(encode_document(KIND, head))
    remove_old_checkpoints(directory, keep)
    return target


def read_checkpoint(
    path: pathlib.Path, schema: Mapping[str, Any]
) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Reads a checkpoint and checks that it is as it was written.

    Args:
        path: Directory of one checkpoint.
        schema: Form of the description, as in `check_schema`.

    Returns:
        The description, with "epoch", and the arrays.

    Raises:
        ValueError: A file is missing, truncated, changed or of another format; the error names it.
    """
    schema, file = {**schema, **_SCHEMA}, path / DESCRIPTION
    try:
        if (path / OLDER_ARRAYS).exists():
            description = read_older_description(file, schema)
            file = path / OLDER_ARRAYS
            plain = read_older_arrays(file, description["sha256"])
        else:
            description = read_document(file, KIND, {**schema, "arrays": str})
            file = path / ARRAYS
            named, metadata = read_arrays(file, ARRAYS_KIND)
            if metadata[DIGEST] != description["arrays"]:
                raise ValueError(f"not the arrays that {DESCRIPTION} describes")
            plain = list(named.values())
        if description["epoch"] != _epoch(path):
            raise ValueError(f"it is of a checkpoint after {description['epoch']} epochs")
        kinds = zip(description["dtypes"], description["shapes"], strict=True)
        arrays = [_typed(array, *kind) for array, kind in zip(plain, kinds, strict=True)]
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"checkpoint file {str(file)!r} is damaged: {error}") from error
    return description, arrays


def remove_old_checkpoints(directory: pathlib.Path, keep: int) -> None:
    """Removes all but the newest `keep` checkpoints, and leftovers of killed processes."""
    found = list_checkpoints(directory)
    for path in found[: max(len(found) - keep, 0)]:
        remove_directory(path)
    remove_leftovers(directory)


def remove_checkpoints(directory: pathlib.Path) -> None:
    """Removes a directory of checkpoints; anything else in it stays."""
    remove_old_checkpoints(directory, keep=0)
    if directory.is_dir() and not any(directory.iterdir()):
        directory.rmdir()


def _epoch(path):
    return int(path.name.removeprefix("epoch_"))


def _plain(array):
    """The array as bits if it is a mask, and as bytes if files do not support its dtype."""
    if array.dtype == bool:
        return pack_mask(array)
    if array.dtype.name in DTYPES:
        return array
    return np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8)


def _typed(array, dtype, shape):
    """The inverse of `_plain`."""
    if dtype == "bool":
        return unpack_mask(array, shape)
    kind = np.dtype(dtype)
    if array.dtype != kind:
        array = array.reshape(-1).view(kind)
    return array.reshape(shape)
