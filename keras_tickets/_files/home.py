"""Paths with `~` for a home directory."""

import os
import pathlib


def expand_home(path: str | os.PathLike) -> pathlib.Path:
    """Replaces `~` or `~user` at the start of a path with that home directory.

    Raises:
        ValueError: There is no such user.

    Example:

    ```python
    import pathlib
    from keras_tickets._files.home import expand_home

    assert expand_home("~/runs") == pathlib.Path.home() / "runs"
    ```
    """
    expanded = os.path.expanduser(path)
    if os.fspath(expanded).startswith("~"):
        user = pathlib.PurePath(expanded).parts[0]
        raise ValueError(
            f"path {os.fspath(path)!r} begins with {user!r}, and there is no such user; write "
            f"'./{user}' for a name that begins with `~`"
        )
    return pathlib.Path(expanded)
