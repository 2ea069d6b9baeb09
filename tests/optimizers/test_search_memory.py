"""What an update of a kernel in sparse storage really takes is under `search_memory`."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

WORKER = pathlib.Path(__file__).with_name("search_memory_worker.py")


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads Linux's /proc")
@pytest.mark.parametrize(
    "method, size, sparsity, budget",
    [
        ("RigL", 4000, 0.999, 2**25),
        ("RigL", 10_000, 0.999, 2**26),
        ("RigL", 10_000, 0.97, 2**27),
        ("SET", 10_000, 0.999, 2**26),
        ("SET", 10_000, 0.97, 2**27),
    ],
)
def test_an_update_takes_no_more_than_its_budget(method, size, sparsity, budget):
    """TensorFlow and C's library give freed memory back at once here: what is held is counted."""
    command = [sys.executable, WORKER, method, str(size), str(sparsity), str(budget)]
    at_once = {"TF_ENABLE_ONEDNN_OPTS": "0", "MALLOC_MMAP_THRESHOLD_": "65536"}
    run = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **at_once})
    assert run.returncode == 0, run.stderr[-3000:]
    found = json.loads(run.stdout)
    assert found["moved"] > 0.2
    assert budget / 3 < found["peak"] < budget
