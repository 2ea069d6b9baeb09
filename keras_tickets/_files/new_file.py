"""A new file: complete or not there, and never in place of another."""

import os
import pathlib
import uuid


def write_new_file(path: str | os.PathLike, content: bytes) -> None:
    """Writes a file that does not exist yet.

    The content is written and synced under another name beside it, which is then given the file's
    name. So the file is complete whenever the process is killed, and of several processes that
    write the same file one succeeds.

    Args:
        path: The file. Its directory must exist.
        content: All of it.

    Raises:
        FileExistsError: There is something of that name; it is left as it is.
        OSError: It cannot be written, such as where the disk is full; nothing is left behind then.

    Example:

    ```python
    import pathlib, tempfile
    from keras_tickets._files.new_file import write_new_file

    path = pathlib.Path(tempfile.mkdtemp()) / "new"
    write_new_file(path, b"content")
    assert path.read_bytes() == b"content"
    ```
    """
    path = pathlib.Path(path)
    if os.path.lexists(path):
        raise _exists(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        _give_name(temporary, path)
        _sync(path.parent)
    except FileExistsError:
        raise _exists(path) from None
    except OSError as error:
        raise OSError(
            error.errno, f"file {str(path)!r} cannot be written: {error.strerror}"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _give_name(temporary, path):
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:
        # A file system without hard links; a rename would take the place of another file.
        if os.path.lexists(path):
            raise
        temporary.rename(path)


def _exists(path):
    return FileExistsError(f"file {str(path)!r} exists already, and nothing is overwritten")


def _sync(directory):
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
