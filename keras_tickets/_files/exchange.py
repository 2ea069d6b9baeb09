"""Two names that are exchanged in one step."""

import ctypes
import os
import pathlib
import sys

_HERE = -100  # AT_FDCWD: paths are relative to the working directory
_EXCHANGE = 2  # RENAME_EXCHANGE


def exchange_names(a: pathlib.Path, b: pathlib.Path) -> bool:
    """Gives two files or directories on one file system each other's names, in one step.

    A process that is killed at any moment leaves one of the two, complete, under each name.

    Args:
        a: A path at which something is.
        b: Another.

    Returns:
        Whether it was done: only Linux can, and not on every file system.
    """
    function = getattr(ctypes.CDLL(None), "renameat2", None) if sys.platform == "linux" else None
    if function is None:
        return False
    return function(_HERE, os.fsencode(a), _HERE, os.fsencode(b), _EXCHANGE) == 0
