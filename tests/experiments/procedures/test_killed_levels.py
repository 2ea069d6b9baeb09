"""Runs of levels that are killed with SIGKILL at random moments end, bit for bit, as the others.

`pytest -m slow -s tests/procedures/test_killed_levels.py` prints the figures of `docs/saving.md`.
"""

import json
import os
import pathlib
import random
import subprocess
import sys
import time

import pytest

import keras_tickets as kt

ROOT = pathlib.Path(__file__).parents[3]
SETTINGS = {
    "tickets": ["tickets.levels=3", "tickets.control='reinit'", "tickets.control_levels=[2]"],
    "distill": ["distill.levels=2"],
}


def start(method, directory):
    parameters = ["train.epochs=20", f"{method}.rewind_to='33it'", *SETTINGS[method]]
    command = [sys.executable, "-m", "keras_tickets", "train", f"--workdir={directory}"]
    command += [f"--gin_file={ROOT}/gin_configs/digits/{method}.gin"]
    command += [f"--gin_param={parameter}" for parameter in parameters]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    log = directory.with_suffix(".log")
    with open(log, "a") as file:
        return subprocess.Popen(command, env=environment, stdout=file, stderr=file), log


def finish(method, directory):
    process, log = start(method, directory)
    assert process.wait(600) == 0, log.read_text()[-3000:]


def found(directory):
    """All that a run leaves, but the time that it took: results, metrics and tickets by digest."""
    files = {path: path for path in directory.rglob("*") if path.is_file()}
    contents = {}
    for path in files:
        name = str(path.relative_to(directory))
        if path.name == "result.json":
            result = json.loads(path.read_text())
            contents[name] = {key: value for key, value in result.items() if key != "seconds"}
        elif path.suffix == ".safetensors":
            contents[name] = kt.load_ticket(path).digest
        elif path.name == "metrics.csv" and path.parent != directory:
            contents[name] = path.read_text()
    return contents


def run_with_kills(method, directory, kills, longest, rng):
    """Kills a run so many times, or until it ends by itself; returns how many kills there were."""
    for done in range(kills):
        process, log = start(method, directory)
        try:
            process.wait(rng.uniform(0.2 * longest, longest))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        else:
            assert process.returncode == 0, log.read_text()[-3000:]
            return done
    finish(method, directory)
    return kills


@pytest.mark.slow
@pytest.mark.parametrize("method, kills", [("tickets", 20), ("distill", 6)])
def test_killed_levels_end_the_same(method, kills, tmp_path):
    began = time.monotonic()
    finish(method, tmp_path / "whole")
    longest = time.monotonic() - began
    whole, rng = found(tmp_path / "whole"), random.Random(0)
    done = runs = 0
    while done < kills:
        directory = tmp_path / f"killed_{runs}"
        done += run_with_kills(method, directory, kills - done, longest, rng)
        killed = found(directory)
        assert [name for name in whole if whole[name] != killed.get(name)] == []
        assert whole.keys() == killed.keys()
        runs += 1
    print(f"| keras-tickets train, {method} | {done} in {runs} runs | {len(whole)} files | 0 |")
