"""Locks between processes, which end with the process that holds them."""

import contextlib
import errno
import os
import pathlib
import stat
import time
import types
from collections.abc import Callable, Iterator

fcntl: types.ModuleType | None
try:
    import fcntl
except ImportError:  # Windows has none: users must make sure that only one process runs at a time.
    fcntl = None

_HELD = (errno.EWOULDBLOCK, errno.EACCES)
# Seconds after which a lock that is still held is not that of somebody who asks whether it is.
_ASKING = 0.05


@contextlib.contextmanager
def locked(path: pathlib.Path, *, busy: Callable[[], None]) -> Iterator[None]:
    """Holds an exclusive lock file for this process, and removes it at the end.

    A process that is killed leaves the file behind, but no lock on it. On a file system without
    locks, every process continues.

    Args:
        path: The lock file, with a name that only this package uses. Its directory must exist.
        busy: Called if another process holds the lock. It raises an error, or returns to make this
            process wait.

    Raises:
        OSError: The file cannot be opened, is a link, or is not a regular file.

    Example:

    ```python
    import pathlib, tempfile
    from keras_tickets._files.locks import locked

    def refuse():
        raise OSError("in use by another process")

    path = pathlib.Path(tempfile.mkdtemp()) / ".lock"
    with locked(path, busy=refuse):
        pass  # A second process that asks for the lock here gets the error.
    assert not path.exists()
    ```
    """
    descriptor = _acquire(path, busy)
    try:
        yield
    finally:
        if not os.fstat(descriptor).st_size:  # A file with content is not ours.
            path.unlink(missing_ok=True)
        os.close(descriptor)


def _acquire(path, busy) -> int:
    """The descriptor of the lock file, locked."""
    while True:
        descriptor = open_lock(path, os.O_CREAT)
        try:
            if try_lock(descriptor) is False:
                time.sleep(_ASKING)
                if try_lock(descriptor) is False:
                    busy()
                    try_lock(descriptor, wait=True)
        except BaseException:
            os.close(descriptor)
            raise
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)  # The process that held it has removed the file in the meantime.


def is_locked(path: pathlib.Path) -> bool | None:
    """Whether a process holds a lock file; `None` if the file system has no locks.

    Nothing is written, and a file that is missing, or that no process may read, is not locked.

    Args:
        path: The lock file.

    Example:

    ```python
    import pathlib, tempfile
    from keras_tickets._files.locks import is_locked, locked

    path = pathlib.Path(tempfile.mkdtemp()) / ".lock"
    with locked(path, busy=lambda: None):
        assert is_locked(path)
    assert not is_locked(path)
    ```
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        free = _flock(descriptor, shared=True)
    finally:
        os.close(descriptor)
    return None if free is None else not free


def open_lock(path: pathlib.Path, flags: int) -> int:
    """Opens a lock file without following links or truncating it; returns its descriptor.

    Args:
        path: The lock file.
        flags: Further flags of `os.open`, such as `os.O_CREAT`.

    Raises:
        OSError: It cannot be opened, is a link, or is not a regular file.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | flags, 0o666)
    except OSError as error:
        reason = "it is a link" if error.errno == errno.ELOOP else error.strerror
        raise type(error)(
            error.errno, f"lock file {str(path)!r} cannot be opened: {reason}"
        ) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"lock file {str(path)!r} is not a regular file")
    return descriptor


def try_lock(descriptor: int, wait: bool = False) -> bool | None:
    """Whether an open file could be locked; `None` if the file system has no locks.

    Args:
        descriptor: The file.
        wait: Whether to wait until no other process holds it.
    """
    return _flock(descriptor, wait=wait)


def _flock(descriptor, wait=False, shared=False) -> bool | None:
    """As `try_lock`; with `shared`, a lock that others who ask may hold at the same time."""
    if fcntl is None:
        return None
    try:
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        fcntl.flock(descriptor, kind | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        return False if error.errno in _HELD else None
    return True
