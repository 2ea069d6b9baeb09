"""Training with kernels dense, masked and stored sparsely: steps, and memory in fresh processes.

python tools/benchmarks/sparse_training.py ROW SPARSITY WIDTH     prints the bytes of one row
"""

import argparse
import pathlib
import subprocess
import sys

import keras
import numpy as np
import tensorflow as tf
from rich.table import Table

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import keras_tickets as kt
from benchmarks.process import peak_memory, reset_peak_memory, resident_memory
from benchmarks.timing import EpochTime, ratio, spread, take_turns

BATCH, INPUTS, CLASSES = 64, 1024, 10
MASKED, CONTROL = "masked", "masked, control"
ENGINES = {"sparse, tensorflow": "tensorflow", "sparse, numba": "numba"}
ROWS = ("dense", MASKED, CONTROL, *ENGINES)


def network(row: str, sparsity: float, width: int) -> keras.Model:
    """A network of two hidden layers, whose kernels are sparse in all rows but the dense one."""

    def hidden(name):
        if row in ENGINES:
            engine = ENGINES[row]
            return kt.layers.SparseDense(width, sparsity, "relu", engine=engine, name=name)
        return keras.layers.Dense(width, "relu", name=name)

    inputs = keras.Input((INPUTS,))
    x = hidden("hidden_2")(hidden("hidden_1")(inputs))
    model = keras.Model(inputs, keras.layers.Dense(CLASSES, name="head")(x))
    if row in (MASKED, CONTROL):
        model = kt.sparsify(model, {"hidden": sparsity})
    model.compile(
        keras.optimizers.SGD(0.01, momentum=0.9),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def batches(steps: int = 8) -> tf.data.Dataset:
    generator = np.random.default_rng(0)
    x = generator.standard_normal((steps, BATCH, INPUTS), np.float32)
    y = generator.integers(0, CLASSES, (steps, BATCH))
    return tf.data.Dataset.from_tensor_slices((x, y))


def block(row: str, sparsity: float, width: int, steps: int):
    """A block trains the network and returns the seconds that a step took."""
    model, clock = network(row, sparsity, width), EpochTime()
    data = batches().cache().repeat().prefetch(4)

    def run():
        model.fit(data, epochs=1, steps_per_epoch=steps, verbose=0, callbacks=[clock])
        return clock.seconds / steps

    return run


def peak_bytes(row: str, sparsity: float, width: int) -> int:
    """The peak of this process while it builds and trains a row, above what importing takes."""
    tf.matmul(tf.ones((8, 8)), tf.ones((8, 8)))
    before = resident_memory()
    reset_peak_memory()
    model = network(row, sparsity, width)
    model.fit(batches(), steps_per_epoch=8, verbose=0)
    return peak_memory() - before


def memory(row: str, sparsity: float, width: int) -> int:
    """`peak_bytes` in a fresh process."""
    command = [sys.executable, __file__, row, str(sparsity), str(width)]
    return int(
        subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1]
    )


def benchmark_sparse_training(sparsity: float, options: argparse.Namespace) -> tuple[Table, dict]:
    steps, width = options.steps or 16, options.width
    seconds = take_turns({row: block(row, sparsity, width, steps) for row in ROWS}, options.rounds)
    peaks = {row: memory(row, sparsity, width) for row in ROWS if row != CONTROL}
    table = Table(
        title=f"{INPUTS}-{width}-{width}-{CLASSES}, batch {BATCH}, {sparsity:.0%} zeros: "
        f"{options.rounds} blocks of {steps} steps"
    )
    table.add_column("")
    for column in ("ms a step", "masked / this", "peak MB above import", "of masked"):
        table.add_column(column, justify="right")
    for row, values in seconds.items():
        cells = ["", ""]
        if row in peaks:
            cells = [f"{peaks[row] / 1e6:,.0f}", f"{peaks[row] / peaks[MASKED]:.2f}"]
        table.add_row(row, spread(values, 1e3), spread(ratio(seconds[MASKED], values)), *cells)
    return table, {"seconds": seconds, "peak_bytes": peaks}


if __name__ == "__main__":
    print(peak_bytes(sys.argv[1], float(sys.argv[2]), int(sys.argv[3])))
