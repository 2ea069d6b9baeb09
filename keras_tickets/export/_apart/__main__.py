"""The process in which converters and runtimes run: one request and one reply per line.

Requests come on stdin. A converter or runtime that crashes ends only this process. Output of
libraries goes to stderr. The process ends with the one that started it, or after a minute without a
request.

    python keras_tickets/export/_apart FORMAT     FORMAT's modules are imported at once
"""

import importlib
import json
import os
import select
import sys
import time
from collections.abc import Callable

import memory
import numpy as np

IDLE_SECONDS = 60
WARM_UP_CALLS = 3


def convert(format: str, source: str, target: str, inputs: list[str], outputs: list[str]) -> dict:
    """Converts the SavedModel `source`; the reply names the operators that the format lacks."""
    return {"lacks": _module(format).convert(source, target, inputs, outputs)}


def run(
    format: str, path: str, inputs: str, outputs: str, dtypes: dict, calls: dict, ram: bool
) -> dict:
    """Runs an exported model on arrays in a file, writes its outputs to another, and times it."""
    with np.load(inputs) as file:
        values = {name: file[name] for name in file.files}
    values = {name: _as_dtype(value, dtypes[name]) for name, value in values.items()}
    call = _module(format).prepare(path, values)
    results = call()
    arrays = {name: _as_stored(value) for name, value in results.items()}
    np.savez(outputs, **arrays)  # type: ignore[arg-type]
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


def _as_dtype(value: np.ndarray, dtype: str) -> np.ndarray:
    if dtype == "bfloat16":
        import ml_dtypes

        return value.astype(ml_dtypes.bfloat16)
    return value if dtype == "string" else value.astype(dtype)


def _as_stored(value) -> np.ndarray:
    """An array as NumPy files hold it without pickling: strings as bytes, bfloat16 as float32."""
    value = np.asarray(value)
    if value.dtype.kind in "OU":
        strings = [item if isinstance(item, bytes) else str(item).encode() for item in value.flat]
        return np.array(strings or [b""], dtype="S")[: value.size].reshape(value.shape)
    return value.astype("float32") if value.dtype.name == "bfloat16" else value


REQUESTS: dict[str, Callable[..., dict]] = {"convert": convert, "run": run}


def main() -> None:
    """Answers requests until there are no more."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    if sys.argv[1:]:
        _module(sys.argv[1])
    while select.select([sys.stdin], [], [], IDLE_SECONDS)[0]:
        line = sys.stdin.readline()
        if not line:
            break
        request = json.loads(line)
        try:
            reply = REQUESTS[request.pop("do")](**request)
        except Exception as error:
            reply = {"error": f"{type(error).__name__}: {error}"}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


if __name__ == "__main__":
    main()
