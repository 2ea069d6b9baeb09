"""Memory of this process, as Linux counts it."""

import pathlib

_PROCESS = pathlib.Path("/proc/self")


def resident_memory() -> int:
    """Bytes in memory now."""
    return _status("VmRSS")


def peak_memory() -> int:
    """The most bytes that were in memory since the process began, or since the last reset."""
    return _status("VmHWM")


def reset_peak_memory() -> None:
    """Lets `peak_memory` begin anew, from what is in memory now."""
    (_PROCESS / "clear_refs").write_text("5")


def _status(name):
    lines = (_PROCESS / "status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))
