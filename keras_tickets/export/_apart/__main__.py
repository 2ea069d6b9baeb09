"""The process in which converters and runtimes run: one request and one reply per line.

Requests come on stdin. A converter or runtime that crashes ends only this process. Output of
libraries goes to stderr. The process ends with the one that started it, or after a minute without a
request.

    python keras_tickets/export/_apart FORMAT     what FORMAT needs is imported at once
"""

import importlib
import json
import os
import pathlib
import select
import subprocess
import sys
import time
from collections.abc import Callable

import arrays
import memory
import turns

# What a converter takes seconds to import, beside the module of its format.
SLOW_IMPORTS = {"litert": ("tensorflow",)}
IDLE_SECONDS = 60
WARM_UP_CALLS = 3


def convert(
    format: str, source: str, target: str, inputs: list[str], outputs: list[str], **options: str
) -> dict:
    """Converts the SavedModel `source`; the reply names the operators that the format lacks."""
    return {"lacks": _module(format).convert(source, target, inputs, outputs, **options)}


def run(
    format: str, path: str, inputs: str, outputs: str, dtypes: dict, calls: dict, ram: bool
) -> dict:
    """Runs an exported model on arrays in a file, writes its outputs to another, and times it."""
    values = arrays.read(inputs, dtypes)
    call = _module(format).prepare(path, values)
    results = call()
    arrays.write(outputs, results)
    milliseconds = _times(call, **calls)
    del call, results
    grown = None
    if ram:  # by a second reading, because the first also loads the runtime's own code
        with memory.PeakGrowth() as peak:
            call = _module(format).prepare(path, values)
            for _ in range(WARM_UP_CALLS):
                call()
        grown = peak.bytes
    return {"milliseconds": milliseconds, "ram_bytes": grown}


def race(format: str, paths: dict, inputs: str, dtypes: dict, rounds: dict) -> dict:
    """Times exported models against each other on arrays in a file; `turns` says how."""
    functions, refused = _module(format).opponents(paths, arrays.read(inputs, dtypes))
    return {"seconds": turns.take_turns(functions, **rounds), "refused": refused}


def shapes(format: str, path: str, inputs: str, dtypes: dict, tensors: list[int]) -> dict:
    """The shapes that tensors have when an exported model runs on arrays in a file."""
    return {"shapes": _module(format).shapes(path, arrays.read(inputs, dtypes), tensors)}


def ram(format: str, path: str, inputs: str, dtypes: dict) -> dict:
    """The memory that an exported model takes in a new process."""
    program = pathlib.Path(__file__).with_name("loaded.py")
    command = [sys.executable, str(program), format, path, inputs, json.dumps(dtypes)]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(f"ended with {result.returncode}: {result.stderr[-200:]}")
    return {"ram_bytes": json.loads(result.stdout.splitlines()[-1])}


def _module(format: str):
    return importlib.import_module(f"run_{format}")


def _times(call, least: int, most: int, seconds: float) -> list[float]:
    for _ in range(WARM_UP_CALLS):
        call()
    times: list[float] = []
    until = time.perf_counter() + seconds
    while len(times) < least or (len(times) < most and time.perf_counter() < until):
        start = time.perf_counter()
        call()
        times.append(1e3 * (time.perf_counter() - start))
    return times


REQUESTS: dict[str, Callable[..., dict]] = {
    function.__name__: function for function in (convert, run, race, shapes, ram)
}


def main() -> None:
    """Answers requests until there are no more."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for format in sys.argv[1:]:
        _module(format)
        for name in SLOW_IMPORTS.get(format, ()):
            importlib.import_module(name)
    while select.select([sys.stdin], [], [], IDLE_SECONDS)[0]:
        line = sys.stdin.readline()
        if not line:
            break
        request = json.loads(line)
        try:
            reply = REQUESTS[request.pop("do")](**request)
        except Exception as error:
            reply = {
                "error": f"{type(error).__name__}: {error}",
                "no_runtime": isinstance(error, ImportError),
            }
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


if __name__ == "__main__":
    main()
