"""Exchange of two names in one step."""

import ctypes
import os
import pathlib
import sys

_HERE = -100  # AT_FDCWD: paths are relative to the working directory
_EXCHANGE = 2  # RENAME_EXCHANGE


def exchange_names(a: pathlib.Path, b: pathlib.Path) -> bool:
    """Exchanges the names of two files or directories on one file system, in one step.

    If the process is killed at any moment, each name still has one of the two, complete.

    Args:
        a: An existing path.
        b: Another.

    Returns:
        Whether it was done: only Linux supports it, and not on every file system.
    """
    function = getattr(ctypes.CDLL(None), "renameat2", None) if sys.platform == "linux" else None
    if function is None:
        return False
    return function(_HERE, os.fsencode(a), _HERE, os.fsencode(b), _EXCHANGE) == 0
