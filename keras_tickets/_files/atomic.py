"""Files and directories that are complete or not there, whenever the process is killed.

What is to come is written and synced in a room: a directory beside its place, of a name that nobody
can foresee, with a mark in it that its process holds locked. At the end it moves into its place. So
a later process can tell what a killed one has left behind from what is still being written, and
both from what is not ours.
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
_NAME = re.compile(r"\.keras_tickets_[0-9a-f]{32}")


@contextlib.contextmanager
def creating(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """A path to write a new file or directory to; it gets its name at the end.

    Of several processes that create the same path one succeeds.

    Args:
        path: What is to be created. Its directory must exist.

    Raises:
        FileExistsError: There is something of that name; it is left as it is.
        OSError: It cannot be written, such as where the disk is full; nothing is left behind then.

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
    """A path to write a file or directory to; it takes the place of the older one at the end.

    A link is replaced, and not what it points to. Of a directory that is replaced nothing stays.

    Args:
        path: What is to be replaced; need not exist. Its directory must.

    Raises:
        OSError: It cannot be written; all is as it was before then.
    """
    path = pathlib.Path(path)
    with _explained(path), room_beside(path) as room:
        temporary = room / path.name
        yield temporary
        _sync_all(temporary)
        take_place(temporary, path, room)
        sync(path.parent)


def take_place(temporary: pathlib.Path, path: pathlib.Path, room: pathlib.Path) -> None:
    """Moves what is complete to where something older may be, which goes with the room.

    Args:
        temporary: What is complete, in the room.
        path: Where it belongs.
        room: What `room_beside(path)` gave.
    """
    directory = path.is_dir() and not path.is_symlink()
    if directory and exchange_names(temporary, path):
        return
    if directory or temporary.is_dir() and os.path.lexists(path):
        kept = room.with_name(KEPT)
        kept.mkdir(exist_ok=True)
        path.rename(kept / path.name)
    temporary.replace(path)


def create_file(path: str | os.PathLike, content: bytes) -> None:
    """Writes a file that does not exist yet, as `creating` does."""
    with creating(path) as temporary:
        temporary.write_bytes(content)


def replace_file(path: str | os.PathLike, content: bytes) -> None:
    """Writes a file in the place of an older one, as `replacing` does."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def remove_directory(path: pathlib.Path) -> None:
    """Removes a directory, of which a process that is killed leaves all or nothing."""
    with room_beside(path) as room:
        path.rename(room / path.name)


@contextlib.contextmanager
def room_beside(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """An empty directory on the same disk as `path`, which is gone afterwards.

    What killed processes left in the same place is removed.

    Args:
        path: What the directory is for. Its own directory must exist.
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
    """Removes the rooms of processes that were killed; nothing that is not ours or in use.

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
    """The rooms in a directory, those in use too."""
    if not directory.is_dir():
        return []
    with os.scandir(directory) as entries:
        return [
            directory / entry.name
            for entry in entries
            if _NAME.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
        ]


def sync(path: pathlib.Path) -> None:
    """Brings a file, or the names in a directory, to the disk."""
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
    """A new directory for a room, and the descriptor of the mark in it, which is locked."""
    while True:
        directory = parent / f".keras_tickets_{secrets.token_hex(16)}"
        directory.mkdir(mode=0o700)
        try:
            mark = open_lock(directory / MARK, os.O_CREAT | os.O_EXCL)
        except FileNotFoundError:  # Another process took it for a leftover, and removed it.
            continue
        if try_lock(mark) is not False and os.fstat(mark).st_nlink:
            return directory, mark
        os.close(mark)


def _dispose(marked):
    """Removes the directory of a room; what was to be replaced, and was not, goes back."""
    with contextlib.suppress(OSError):
        for path in (marked / KEPT).iterdir():
            if not os.path.lexists(marked.parent / path.name):
                path.rename(marked.parent / path.name)
    shutil.rmtree(marked, ignore_errors=True)


def _give_name(temporary, path):
    """Moves what is complete to where nothing is."""
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
    """Says which path an error is about, and not that of the room."""
    try:
        yield
    except FileExistsError:
        raise _exists(path) from None
    except OSError as error:
        reason = error.strerror or error
        raise OSError(error.errno, f"{str(path)!r} cannot be written: {reason}") from error


def _exists(path):
    return FileExistsError(f"{str(path)!r} exists already, and nothing is overwritten")
