"""A run of a sweep in a process, which ends with its parent."""

import ctypes
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping

from keras_tickets.experiments.sweeps.sweep import Run

_SAYS, _WARNS = "keras-tickets: ", "keras-tickets: warning: "
_END_WITH_PARENT = 1  # PR_SET_PDEATHSIG of Linux
_GRACE = 30.0  # seconds that a run has to end itself


class Process:
    """A process of `keras-tickets train`, which writes what it prints into a file.

    On Linux it is asked to end when its parent is gone, however that ended; elsewhere it trains to
    its end, and its work directory stays locked until then.

    Args:
        run: What it trains.
        directory: The work directory.
        log: The file; what was there stays above.
        environment: Variables besides those of this process.
    """

    def __init__(
        self, run: Run, directory: pathlib.Path, log: pathlib.Path, environment: Mapping[str, str]
    ):
        self.run, self.directory, self.log = run, directory, log
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "ab") as output:
            self._from = output.tell()
            self._process = subprocess.Popen(
                command(run, directory),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                preexec_fn=_end_with_parent(),
            )

    def poll(self) -> int | None:
        """The exit code; None while it runs."""
        return self._process.poll()

    def end(self) -> None:
        """Asks it to end."""
        if self.poll() is None:
            self._process.terminate()

    def wait(self) -> None:
        """Waits until it has ended; one that does not in half a minute is killed."""
        try:
            self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def reason(self) -> str:
        """Why it failed, in one line."""
        code = self._process.returncode
        if code < 0:
            name = signal.Signals(-code).name
            why = " (out of memory?)" if name == "SIGKILL" else ""
            return f"ended by {name}{why}; {self.log} has what it printed"
        with open(self.log, "rb") as file:
            file.seek(self._from)
            lines = file.read().decode(errors="replace").splitlines()
        said = [line for line in lines if line.startswith(_SAYS) and not line.startswith(_WARNS)]
        if said:
            return said[-1].removeprefix(_SAYS)
        return f"exit code {code}; {self.log} has what it printed"


def command(run: Run, directory: pathlib.Path) -> list[str]:
    """The command that trains a run in a directory."""
    return [sys.executable, "-m", "keras_tickets", *run.arguments(directory)]


def _end_with_parent() -> Callable[[], None] | None:
    """What a new process does first, so that it is asked to end when this one is gone."""
    if sys.platform != "linux":
        return None
    control, parent = ctypes.CDLL(None).prctl, os.getpid()

    def ask():
        control(_END_WITH_PARENT, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(143)

    return ask
