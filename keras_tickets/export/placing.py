"""Where exports go: they replace nothing but an older export of the same format."""

import contextlib
import os
import pathlib
from collections.abc import Iterator

from keras_tickets._files.atomic import (
    remove_leftovers,
    room_beside,
    take_place,
    take_places,
)
from keras_tickets._files.home import expand_home
from keras_tickets.export.formats import Format


def check_path(path: str | os.PathLike, format: Format, overwrite: bool) -> pathlib.Path:
    """The path, if an export may be written to it.

    Raises:
        TypeError: It is not a path.
        ValueError: The path does not fit the format, or something there may not be replaced.
    """
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"`path` must be a str or os.PathLike. Received: path={path!r}")
    target = expand_home(path)
    if not target.name:
        raise ValueError(f"`path` must name what to create. Received: path={str(path)!r}")
    if format.needs_suffix and target.suffix != format.suffix:
        raise ValueError(
            f"`path` must end in {format.suffix!r} for this format. Received: path={str(path)!r}"
        )
    remove_leftovers(target.parent)
    check_free(target, format, overwrite)
    return target


def check_free(target: pathlib.Path, format: Format, overwrite: bool) -> None:
    """Checks that nothing is at `target` except what may be replaced.

    Raises:
        ValueError: Something else is there.
    """
    files = [target, *(target.with_suffix(suffix) for suffix in format.beside)]
    taken = [file for file in files if os.path.lexists(file) and not _is_empty_place(file, format)]
    if not taken:
        return
    received = f"Received: path={str(target)!r}"
    if not overwrite:
        raise ValueError(
            f"`path` must name nothing that exists: {taken[0].name!r} exists already, and nothing "
            f"is overwritten. Pass overwrite=True (--overwrite) to replace an export, or choose "
            f"another path. {received}"
        )
    if not os.path.lexists(target) or target.is_symlink() or not format.recognizes(target):
        raise ValueError(
            f"`overwrite` must only replace an export of the same format: {taken[0].name!r} is "
            f"not one, and is left as it is. {received}"
        )


def _is_empty_place(path: pathlib.Path, format: Format) -> bool:
    return format.directory and path.is_dir() and not any(path.iterdir())


@contextlib.contextmanager
def folder_beside(target: pathlib.Path) -> Iterator[pathlib.Path]:
    """Makes a temporary folder on the same disk.

    Its path is absolute: the process that converts may have been started in another directory.
    """
    with contextlib.ExitStack() as stack:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                target.lstat()  # fails where the name is too long
            folder = stack.enter_context(room_beside(target)).absolute()
        except OSError as error:
            raise ValueError(
                f"`path` cannot be written: {error}. Received: path={str(target)!r}"
            ) from error
        yield folder


def put_in_place(
    written: pathlib.Path,
    target: pathlib.Path,
    room: pathlib.Path,
    format: Format,
    overwrite: bool,
) -> tuple[pathlib.Path, ...]:
    """Moves the content of the folder `written`, in the room, to its place.

    Returns:
        All files, sorted by name.
    """
    check_free(target, format, overwrite)
    names = os.listdir(written)
    if names == [target.name]:
        take_place(written / target.name, target, room)
    else:
        take_places(written, target.name, target.parent, room)
    moved = [target.parent / name for name in names]
    return tuple(sorted(file for top in moved for file in [top, *top.rglob("*")] if file.is_file()))
