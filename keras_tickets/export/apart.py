"""Converters and runtimes in another process, so that a crash stays there."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
from typing import IO, Any

PROGRAM = pathlib.Path(__file__).parent / "_apart"
LAST_LINES = 3


class Failure(RuntimeError):
    """The error of a converter or runtime, or the report of its crash.

    Attributes:
        crashed: Whether its process ended.
        no_runtime: Whether a package that it needs is not installed.
    """

    def __init__(self, message: str, crashed: bool = False, no_runtime: bool = False):
        super().__init__(message)
        self.crashed = crashed
        self.no_runtime = no_runtime


class _Process:
    """The process, started when it is needed and kept for the next request.

    Starting it takes seconds, mostly to import TensorFlow; so it is started before the model is
    written, and is reused by the next export. It ends by itself when it is idle.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._process: subprocess.Popen | None = None
        self._log: IO[bytes] | None = None
        self._owner = os.getpid()

    def start(self, format: str) -> None:
        """Makes sure that the process runs; does not wait until it is ready."""
        with self._lock:
            if self._owner != os.getpid():  # in a fork: it belongs to the parent process
                self._process, self._owner = None, os.getpid()
            if self._process is not None and self._process.poll() is None:
                return
            environment = {
                "TF_CPP_MIN_LOG_LEVEL": "3",
                **os.environ,
                "CUDA_VISIBLE_DEVICES": "-1",
                "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            }
            self._log = tempfile.TemporaryFile("a+b")
            self._process = subprocess.Popen(
                [sys.executable, str(PROGRAM), format],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                env=environment,
                process_group=0,
            )

    def request(self, do: str, format: str, **arguments: Any) -> dict[str, Any]:
        """Sends a request and waits for the reply.

        Raises:
            Failure: The converter or runtime refuses or crashes.
        """
        line = json.dumps({"do": do, "format": format, **arguments}).encode() + b"\n"
        with self._lock:
            try:
                reply = self._exchange(format, line)
                if not reply and self._returncode() == 0:  # it had just ended because it was idle
                    reply = self._exchange(format, line)
            except BaseException:
                self.stop()
                raise
            if not reply:
                raise Failure(self._how_it_ended(), crashed=True)
        result = json.loads(reply)
        if "error" in result:
            raise Failure(result["error"], no_runtime=result["no_runtime"])
        return result

    def _exchange(self, format: str, line: bytes) -> bytes:
        self.start(format)
        process, log = self._process, self._log
        assert process is not None and process.stdin and process.stdout and log is not None
        log.truncate(0)
        try:
            process.stdin.write(line)
            process.stdin.flush()
        except BrokenPipeError:
            return b""
        return process.stdout.readline()

    def _returncode(self) -> int:
        assert self._process is not None
        return self._process.wait()

    def _how_it_ended(self) -> str:
        code = self._returncode()
        assert self._log is not None
        self._log.seek(0)
        said = self._log.read().decode(errors="replace").splitlines()
        said = [text.strip() for text in said if text.strip()][-LAST_LINES:]
        how = f"crashed with {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        return " ".join([f"the process {how}.", *said])

    def stop(self) -> None:
        """Ends the process at once."""
        if self._process is not None and self._owner == os.getpid():
            self._process.kill()
            self._process.wait()
        self._process = None


_PROCESS = _Process()
start, request, stop = _PROCESS.start, _PROCESS.request, _PROCESS.stop
