"""How much memory a process takes."""

import ctypes
import gc
import pathlib

PROCESS = pathlib.Path("/proc/self")


class PeakGrowth:
    """A context in which the peak of the process's resident memory is watched.

    Attributes:
        bytes: What the peak inside the context is above the memory at its start; `None` before its
            end, and where the system is not Linux.
    """

    def __init__(self):
        self.bytes: int | None = None

    def __enter__(self) -> "PeakGrowth":
        gc.collect()
        try:
            ctypes.CDLL(None).malloc_trim(0)
        except (OSError, AttributeError):
            pass  # not the C library of GNU
        try:
            (PROCESS / "clear_refs").write_text("5")  # sets the peak to what is resident now
            self._start: int | None = _resident("VmRSS")
        except OSError:
            self._start = None
        return self

    def __exit__(self, *error) -> None:
        if self._start is not None:
            self.bytes = max(_resident("VmHWM") - self._start, 0)


def _resident(name: str) -> int:
    for line in (PROCESS / "status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return 1024 * int(line.split()[1])
    raise OSError(f"/proc/self/status has no {name}")
