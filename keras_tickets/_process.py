"""Whether this process runs the command line, which imports the package step by step."""

import importlib
import multiprocessing
import pathlib
import sys

_COMMANDS = ("keras-tickets", "keras-tickets.exe")
_all_wanted = False


def starts_as_command() -> bool:
    """Whether the package is being imported by `keras-tickets` or `python -m keras_tickets`.

    The command itself imports the rest of the package when it needs TensorFlow. So
    `keras-tickets --help` answers at once, and an interrupt during the import is handled.
    """
    if _all_wanted or multiprocessing.parent_process() is not None:
        return False
    if sys.argv[:1] == ["-m"]:  # Python is still looking for the module that `-m` names
        place = sys.orig_argv.index("-m") if "-m" in sys.orig_argv else -1
        return sys.orig_argv[place + 1 : place + 2] == ["keras_tickets"]
    return bool(sys.argv) and pathlib.PurePath(sys.argv[0]).name in _COMMANDS


def finish_import() -> None:
    """Imports the rest of the package if `starts_as_command` has kept it out."""
    global _all_wanted
    package = sys.modules["keras_tickets"]
    if not _all_wanted and not hasattr(package, "SparseModel"):
        _all_wanted = True
        importlib.reload(package)
