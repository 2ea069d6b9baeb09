"""Files and directories that are complete or not there, whenever the process is killed.

New content is written and synced in a room: a directory beside its final place, with an
unpredictable name and a mark file that its process keeps locked. At the end the content moves into
its place. So a later process can distinguish leftovers of a killed process from content that is
still being written, and both from files that are not ours.
"""

import contextlib
import os
import pathlib
import re
import secrets
import shutil
from collections.abc import Iterator

from keras_tickets._files.exchange import exchange_names
from keras_tickets._files.locks import open_lock, try_lock

MARK, ROOM, KEPT = "made_by_keras_tickets", "room", "replaced"
PARTS, LAST = "parts", "last"
_NAME = re.compile(r"\.keras_tickets_[0-9a-f]{32}")


@contextlib.contextmanager
def creating(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Yields a path to write a new file or directory to; it gets its name at the end.

    If several processes create the same path, one succeeds.

    Args:
        path: The path to create. Its directory must exist.

    Raises:
        FileExistsError: Something has that name; it is left unchanged.
        OSError: It cannot be written, for example because the disk is full; nothing is left behind.

    Example:

    ```python
    import pathlib, tempfile
    from keras_tickets._files.atomic import creating

    path = pathlib.Path(tempfile.mkdtemp()) / "new"
    with creating(path) as temporary:
        temporary.write_text("content")
        assert not path.exists()
    assert path.read_text() == "content"
    ```
    """
    path = pathlib.Path(path)
    if os.path.lexists(path):
        raise _exists(path)
    with _explained(path), room_beside(path) as room:
        temporary = room / path.name
        yield temporary
        _sync_all(temporary)
        _give_name(temporary, path)
        sync(path.parent)


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Yields a path to write a file or directory to; it replaces the older one at the end.

    A link itself is replaced, not its target. Nothing of a replaced directory remains.

    Args:
        path: The path to replace; it need not exist, but its directory must.

    Raises:
        OSError: It cannot be written; then nothing has changed.
    """
    path = pathlib.Path(path)
    with _explained(path), room_beside(path) as room:
        temporary = room / path.name
        yield temporary
        _sync_all(temporary)
        take_place(temporary, path, room)
        sync(path.parent)


def take_place(temporary: pathlib.Path, path: pathlib.Path, room: pathlib.Path) -> None:
    """Moves complete content over a possibly older version, which is removed with the room.

    Args:
        temporary: The complete content, in the room.
        path: Where it belongs.
        room: The room, from `room_beside(path)`.
    """
    directory = path.is_dir() and not path.is_symlink()
    if directory and exchange_names(temporary, path):
        return
    if directory or temporary.is_dir() and os.path.lexists(path):
        kept = room.with_name(KEPT)
        kept.mkdir(exist_ok=True)
        path.rename(kept / path.name)
    temporary.replace(path)


def take_places(
    folder: pathlib.Path, last: str, directory: pathlib.Path, room: pathlib.Path
) -> None:
    """Moves several files over possibly older versions, so that `last` is there only with its own.

    The older `last` goes first and the new one comes last. If the process is killed in between,
    there is none, and the next to look for leftovers puts the older files back.

    Args:
        folder: The complete files, in the room.
        last: Name of the one without which nobody reads the others.
        directory: Where they belong.
        room: The room, from `room_beside(directory / last)`.
    """
    kept, parts, whole = (room.with_name(name) for name in (KEPT, PARTS, LAST))
    kept.mkdir()
    whole.mkdir()
    (folder / last).rename(whole / last)
    folder.rename(parts)
    for name in (last, *os.listdir(parts)):
        with contextlib.suppress(FileNotFoundError):
            (directory / name).rename(kept / name)
    for part in parts.iterdir():
        _give_name(part, directory / part.name)
    (whole / last).replace(directory / last)


def create_file(path: str | os.PathLike, content: bytes) -> None:
    """Writes a file that does not exist yet, as `creating` does."""
    with creating(path) as temporary:
        temporary.write_bytes(content)


def replace_file(path: str | os.PathLike, content: bytes) -> None:
    """Replaces a file, as `replacing` does."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def remove_directory(path: pathlib.Path) -> None:
    """Removes a directory; if the process is killed, it is still complete or gone."""
    with room_beside(path) as room:
        path.rename(room / path.name)


@contextlib.contextmanager
def room_beside(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields an empty temporary directory on the same disk as `path`.

    Leftovers of killed processes in the same place are removed.

    Args:
        path: The path that it is for. Its directory must exist.
    """
    remove_leftovers(path.parent)
    marked, mark = _marked_directory(path.parent)
    try:
        room = marked / ROOM
        room.mkdir()
        yield room
    finally:
        _dispose(marked)
        os.close(mark)


def remove_leftovers(directory: pathlib.Path) -> None:
    """Removes the rooms of killed processes, and nothing that is not ours or in use.

    Args:
        directory: Where to look; need not exist.
    """
    for room in rooms_in(directory):
        try:
            mark = open_lock(room / MARK, 0)
        except FileNotFoundError:
            with contextlib.suppress(OSError):  # Killed before the mark was made, if it is empty.
                room.rmdir()
            continue
        except OSError:
            continue
        if try_lock(mark):
            _dispose(room)
        os.close(mark)


def rooms_in(directory: pathlib.Path) -> list[pathlib.Path]:
    """The rooms in a directory, including those in use."""
    if not directory.is_dir():
        return []
    with os.scandir(directory) as entries:
        return [
            directory / entry.name
            for entry in entries
            if _NAME.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
        ]


def sync(path: pathlib.Path) -> None:
    """Syncs a file, or the names in a directory, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_all(path):
    if path.is_dir():
        for child in path.iterdir():
            _sync_all(child)
    sync(path)


def _marked_directory(parent):
    """Makes a directory for a room; returns it and the descriptor of its locked mark."""
    while True:
        directory = parent / f".keras_tickets_{secrets.token_hex(16)}"
        directory.mkdir(mode=0o700)
        try:
            mark = open_lock(directory / MARK, os.O_CREAT | os.O_EXCL)
        except FileNotFoundError:  # Another process took it for a leftover and removed it.
            continue
        if try_lock(mark) is not False and os.fstat(mark).st_nlink:
            return directory, mark
        os.close(mark)


def _dispose(marked):
    """Removes the directory of a room; an older version that was not replaced is put back."""
    with contextlib.suppress(OSError):
        _put_back(marked)
    with contextlib.suppress(OSError):
        for name in set(os.listdir(marked)) - {MARK}:
            shutil.rmtree(marked / name, ignore_errors=True)
    shutil.rmtree(marked, ignore_errors=True)  # The mark goes last: it shows that this is ours.


def _put_back(marked):
    """Removes new parts without their last, and puts back what they or one entry replaced."""
    kept, parts, last = (marked / name for name in (KEPT, PARTS, LAST))
    unfinished = os.listdir(last) if last.exists() else []
    if unfinished and parts.exists():
        for part in parts.iterdir():
            place = marked.parent / part.name
            if place.exists() and place.samefile(part):
                place.unlink()
    # On a file system without hard links a new part remains; then the older last stays away too.
    for name in sorted(os.listdir(kept) if kept.exists() else [], key=unfinished.__contains__):
        if os.path.lexists(marked.parent / name):
            return
        (kept / name).rename(marked.parent / name)


def _give_name(temporary, path):
    """Moves complete content to an unused path."""
    if temporary.is_dir():
        if os.path.lexists(path):
            raise _exists(path)
        temporary.rename(path)
        return
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:
        # A file system without hard links; a rename would take the place of another file.
        if os.path.lexists(path):
            raise _exists(path) from None
        temporary.rename(path)


@contextlib.contextmanager
def _explained(path):
    """Makes an error name the user's path instead of the path in the room."""
    try:
        yield
    except FileExistsError:
        raise _exists(path) from None
    except OSError as error:
        reason = error.strerror or error
        raise OSError(error.errno, f"{str(path)!r} cannot be written: {reason}") from error


def _exists(path):
    return FileExistsError(f"{str(path)!r} exists already, and nothing is overwritten")
