"""Exports a network whose dense kernel would take 4 GB; prints the memory that this takes.

python stored_export_worker.py FILE
"""

import json
import pathlib
import resource
import sys

import keras
import tensorflow as tf

import keras_tickets as kt
from keras_tickets.export import apart

INPUTS, UNITS, WEIGHTS = 2**16, 2**14, 1_000_000


def resident(name):
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def main(path):
    tf.matmul(tf.ones((8, 8)), tf.ones((8, 8)))
    before = resident("VmRSS")
    pathlib.Path("/proc/self/clear_refs").write_text("5")
    layer = kt.layers.SparseDense(UNITS, 1 - WEIGHTS / (INPUTS * UNITS), "relu", name="fc")
    model = keras.Sequential([keras.Input((INPUTS,)), layer, keras.layers.Dense(10)])
    report = kt.export(model, path, "litert", kernels="sparse")
    apart.stop()
    figures = {
        "weights": int(layer.values.shape[0]),
        "dense_bytes": 4 * INPUTS * UNITS,
        "own_growth": resident("VmHWM") - before,
        "other_peak": 1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss,
        "difference": report.max_abs_difference,
        "ram": report.ram_bytes,
        "latency": report.latency_ms[1].median,
        "note": report.note,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main(sys.argv[1])
