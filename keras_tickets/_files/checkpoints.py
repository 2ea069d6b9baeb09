"""Checkpoints on disk: one directory each, written aside and renamed into place."""

import hashlib
import io
import json
import os
import pathlib
import re
import shutil
import zipfile

import numpy as np

from keras_tickets._files.mask_bits import pack_mask, unpack_mask

FORMAT = 1
ARRAYS = "variables.npz"
DESCRIPTION = "checkpoint.json"


def list_checkpoints(directory: pathlib.Path) -> list[pathlib.Path]:
    """The checkpoints in a directory, oldest first.

    Args:
        directory: What was given to `write_checkpoint`; need not exist.

    Returns:
        Paths of directories named `epoch_NNNNNN`.
    """
    found = directory.glob("epoch_*") if directory.is_dir() else []
    found = [path for path in found if re.fullmatch(r"epoch_\d{6,}", path.name)]
    return sorted(found, key=lambda path: int(path.name.removeprefix("epoch_")))


def write_checkpoint(
    directory: pathlib.Path, epoch: int, description: dict, arrays: list[np.ndarray], keep: int
) -> pathlib.Path:
    """Writes a checkpoint, and removes all but the newest `keep`.

    All is written and synced under another name first: a directory named `epoch_NNNNNN` is always
    complete, whenever the process is killed.

    Args:
        directory: Directory of all checkpoints, made where it is missing.
        epoch: Number of epochs that were trained.
        description: What to keep beside the arrays; must be representable in JSON.
        arrays: The values, of any numeric dtype; booleans are written as bits.
        keep: Number of checkpoints to keep.

    Returns:
        The path of the new checkpoint.
    """
    target = directory / f"epoch_{epoch:06d}"
    temporary = directory / f".writing_{target.name}"
    remove_unfinished(directory)
    temporary.mkdir(parents=True)
    buffer = io.BytesIO()
    np.savez(buffer, **{f"{i:06d}": _plain(array) for i, array in enumerate(arrays)})
    content = buffer.getvalue()
    head = {
        "format": FORMAT,
        "epoch": epoch,
        "sha256": hashlib.sha256(content).hexdigest(),
        "dtypes": [array.dtype.name for array in arrays],
        "shapes": [array.shape for array in arrays],
        **description,
    }
    _write_synced(temporary / ARRAYS, content)
    _write_synced(temporary / DESCRIPTION, json.dumps(head, indent=1).encode())
    _sync(temporary)
    if target.exists():
        _remove(target)
    temporary.rename(target)
    _sync(directory)
    for old in list_checkpoints(directory)[:-keep]:
        _remove(old)
    return target


def read_checkpoint(path: pathlib.Path) -> tuple[dict, list[np.ndarray]]:
    """Reads a checkpoint whole and checks that it is as it was written.

    Args:
        path: Directory of one checkpoint.

    Returns:
        The description, with "epoch", and the arrays.

    Raises:
        ValueError: A file is missing, truncated, changed or of another format; the error names it.
    """
    file = path / DESCRIPTION
    try:
        description = json.loads(file.read_bytes())
        if description["format"] != FORMAT:
            raise ValueError(f"format {description['format']!r}, not {FORMAT}")
        file = path / ARRAYS
        content = file.read_bytes()
        if hashlib.sha256(content).hexdigest() != description["sha256"]:
            raise ValueError(f"not the {len(content)} bytes that were written")
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            plain = [archive[name] for name in sorted(archive.files)]
        kinds = zip(description["dtypes"], description["shapes"], strict=True)
        arrays = [_typed(array, *kind) for array, kind in zip(plain, kinds, strict=True)]
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError(f"checkpoint file {str(file)!r} is damaged: {error}") from error
    return description, arrays


def remove_unfinished(directory: pathlib.Path) -> None:
    """Removes what a killed process left half written or half removed."""
    for pattern in (".writing_*", ".removing_*"):
        for path in directory.glob(pattern):
            shutil.rmtree(path)


def _remove(path):
    doomed = path.with_name(f".removing_{path.name}")
    path.rename(doomed)
    shutil.rmtree(doomed)


def _plain(array):
    """The array as bits where it is a mask, and in a dtype that NumPy's file format knows."""
    if array.dtype == bool:
        return pack_mask(array)
    if array.dtype.kind in "iufc":
        return array
    return array.view(f"uint{8 * array.dtype.itemsize}")


def _typed(array, dtype, shape):
    """The array that `_plain` was given."""
    return unpack_mask(array, shape) if dtype == "bool" else array.view(np.dtype(dtype))


def _write_synced(path, content):
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(directory):
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
