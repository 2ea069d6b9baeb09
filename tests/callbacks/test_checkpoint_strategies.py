import os
import pathlib
import socket
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
WORKER = pathlib.Path(__file__).parent / "checkpoint_worker.py"


def start(*arguments):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    return subprocess.Popen(
        [sys.executable, str(WORKER), *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


@pytest.mark.parametrize("mode", ["mirrored", pytest.param("workers", marks=pytest.mark.slow)])
def test_resumes_exactly(mode, tmp_path):
    if mode == "mirrored":
        processes = [start(mode, tmp_path)]
    else:
        ports = free_ports(2)
        processes = [start(mode, tmp_path, *ports, index) for index in range(2)]
    for process in processes:
        out, err = process.communicate(timeout=180)
        assert process.returncode == 0, err[-3000:]
        assert "resumed exactly" in out
    assert [path.name for path in (tmp_path / "parts").iterdir()] == ["epoch_000004"]
