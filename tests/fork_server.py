"""Starts runs in a moment: a process that has imported everything forks one for each.

python tests/fork_server.py

It reads requests and answers them, each a line of JSON: `{"start": arguments, "log": path}` with
the id of the new process, `{"poll": id}` with its exit code or null. The arguments are those of
`keras-tickets`, or of a script whose path comes first.
"""

import json
import os
import pathlib
import runpy
import subprocess
import sys
import time
import traceback

ROOT = pathlib.Path(__file__).parents[1]


class ForkServer:
    """The server, seen from a test."""

    def __init__(self):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
        self.process = subprocess.Popen(
            [sys.executable, __file__],
            env=environment,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, **request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def start(self, arguments, log):
        return Run(self, self.ask(start=[str(part) for part in arguments], log=str(log)), log)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Run:
    """One process that the server has started."""

    def __init__(self, server, pid, log):
        self.server, self.pid, self.log, self.code = server, pid, log, None

    def ended(self):
        if self.code is None:
            self.code = self.server.ask(poll=self.pid)
        return self.code is not None

    def sleep(self, seconds):
        """Waits, but not beyond the end of the process."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self.ended():
            time.sleep(0.002)

    def finish(self):
        self.sleep(600)
        assert self.code == 0, self.log.read_text()[-3000:]

    def kill(self):
        """Whether it was killed, and had not ended by itself."""
        if not self.ended():
            os.kill(self.pid, 9)
        while not self.ended():
            time.sleep(0.002)
        return self.code == -9


def run(arguments, log):
    """What a new process does."""
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for descriptor in (1, 2):
        os.dup2(output, descriptor)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if arguments[0].endswith(".py"):
        sys.argv = arguments
        runpy.run_path(arguments[0], run_name="__main__")
        return 0
    from keras_tickets.experiments import cli

    return cli.main(arguments)


def serve():
    import keras_tickets.experiments.cli  # noqa: F401

    for line in sys.stdin:
        request = json.loads(line)
        if "poll" in request:
            pid, status = os.waitpid(request["poll"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        elif not (answer := os.fork()):
            code = 1
            try:
                code = run(request["start"], request["log"])
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                os._exit(code)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    serve()
