"""Runs a script in new processes, as a strategy needs them."""

import json
import socket
import subprocess
import sys

import numpy as np


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def run_workers(script, folder, mode, **spec):
    """Runs a script that reads its specification by `worker.SPEC`; what each process saved.

    Args:
        script: Path of the script.
        folder: Directory for the files that the processes write.
        mode: "none", "mirrored" for two replicas, or "workers" for two processes.
        **spec: What else the specification has.
    """
    workers = 2 if mode == "workers" else 1
    ports = free_ports(workers) if workers > 1 else None
    processes, outputs = [], []
    for index in range(workers):
        outputs.append(folder / f"{mode}-{index}-{len(list(folder.iterdir()))}.npz")
        worker = {"worker": index, "ports": ports} if ports else {}
        text = json.dumps({"mode": mode, "output": str(outputs[-1]), **worker, **spec})
        processes.append(
            subprocess.Popen(
                [sys.executable, str(script), text],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    for process in processes:
        log, _ = process.communicate(timeout=400)
        assert process.returncode == 0, log[-3000:]
    return [dict(np.load(output)) for output in outputs]
