"""Opening files to read them."""

import contextlib
import io
import os
import stat
from collections.abc import Iterator


@contextlib.contextmanager
def open_file(path: str | os.PathLike) -> Iterator[tuple[io.BufferedReader, int]]:
    """Opens a regular file, but no pipe or device, which might never end.

    Args:
        path: The file.

    Yields:
        The file, open for reading, and its size in bytes.

    Raises:
        FileNotFoundError: There is no such file.
        OSError: It cannot be opened, or is not a regular file.
    """
    descriptor = os.open(os.fspath(path), os.O_RDONLY | os.O_NONBLOCK)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise OSError(f"{str(path)!r} is not a regular file")
    with open(descriptor, "rb") as file:
        yield file, status.st_size


def read_text(path: str | os.PathLike) -> str:
    """The text of a regular file in UTF-8.

    Args:
        path: The file.

    Raises:
        FileNotFoundError: There is no such file.
        OSError: It cannot be read, or is not a regular file.
        UnicodeDecodeError: It is no text.
    """
    with open_file(path) as (file, _):
        return file.read().decode()
