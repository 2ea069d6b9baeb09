"""The memory use of a process."""

import ctypes
import gc
import pathlib

PROCESS = pathlib.Path("/proc/self")


class PeakGrowth:
    """A context that measures the peak of the process's resident memory.

    Attributes:
        bytes: Peak inside the context minus the memory at its start; `None` before its end, and on
            systems other than Linux.
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
