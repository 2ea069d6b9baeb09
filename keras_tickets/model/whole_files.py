"""Saves a model so that a file is always either the complete new one or the one before."""

import contextlib
import math
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from keras_tickets._files.atomic import replacing

_OVERHEAD = 2**14  # bytes of names and tables that HDF5 writes for a variable


class WholeFiles:
    """Saves a Keras model to a temporary file, which is renamed when it is complete.

    So a file of `keras.callbacks.ModelCheckpoint` is complete even if the process is killed or the
    disk is full: it is the new one, or the one before.
    """

    def save(
        self,
        filepath: str | os.PathLike,
        overwrite: bool = True,
        zipped: bool | None = None,
        **kwargs: Any,
    ) -> None:
        """Saves the model, as `keras.Model.save` does.

        Args:
            filepath: Path of a `.keras` file, or of another kind that Keras takes.
            overwrite: Whether to replace an existing file without asking.
            zipped: As in `keras.Model.save`.
            **kwargs: As in `keras.Model.save`.

        Raises:
            OSError: The file cannot be written; an existing one stays.
        """
        with _whole(filepath, overwrite, self) as path:
            super().save(  # type: ignore[misc]
                path, overwrite=overwrite, zipped=zipped, **kwargs
            )

    def save_weights(
        self, filepath: str | os.PathLike, overwrite: bool = True, **kwargs: Any
    ) -> None:
        """Saves the weights, as `keras.Model.save_weights` does.

        Args:
            filepath: Path of a `.weights.h5` file, or of another kind that Keras takes.
            overwrite: Whether to replace an existing file without asking.
            **kwargs: As in `keras.Model.save_weights`.

        Raises:
            OSError: The file cannot be written; an existing one stays.
        """
        with _whole(filepath, overwrite, self) as path:
            super().save_weights(path, overwrite=overwrite, **kwargs)  # type: ignore[misc]


@contextlib.contextmanager
def _whole(filepath: str | os.PathLike, overwrite: bool, model: Any) -> Iterator[Any]:
    """The path to write a file to.

    Keras itself writes remote files, and those that it must ask about before replacing them.
    """
    path = os.fspath(filepath) if isinstance(filepath, str | os.PathLike) else ""
    if not overwrite or "://" in path or not path.endswith((".keras", ".h5")):
        yield filepath
        return
    target = pathlib.Path(os.path.realpath(path))
    with replacing(target) as temporary:
        if target.suffix == ".h5":
            _check_space(temporary, max(_size(model), _size_of_file(target)))
        yield str(temporary)


def _check_space(path: pathlib.Path, size: int) -> None:
    """Raises an error if the disk has no room. HDF5 itself would end the process then."""
    if not hasattr(os, "posix_fallocate"):  # macOS, Windows
        return
    with open(path, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)
    path.unlink()


def _size(model) -> int:
    """An estimate from above of the bytes that the weights take in an HDF5 file."""
    variables = [*model.variables, *(model.optimizer.variables if model.compiled else ())]
    bytes_each = [math.prod(v.shape) * np.dtype(v.dtype).itemsize for v in variables]
    return sum(bytes_each) + _OVERHEAD * (1 + len(variables))


def _size_of_file(path: pathlib.Path) -> int:
    return path.stat().st_size if path.is_file() else 0
