"""Trains two networks whose dense form would not fit, each in a fresh process.

    python tools/large_networks.py set rigl           both, about ten minutes on two cores
    python tools/large_networks.py set rigl --small   the same with a few hundred neurons

`set` has a million neurons in two hidden layers on inputs of the size of a microarray, after
"Sparse evolutionary deep learning with over one million artificial neurons on commodity hardware"
(Liu et al., 2021, https://arxiv.org/abs/1901.09181). `rigl` has kernels that would take 40 GB; each
update ranks the gradients of all their positions, 10,000,000,000 in the largest, in blocks. In
both, a kernel has epsilon * (inputs + units) weights, the Erdos-Renyi rule of SET. The data are
drawn at random: a center for each class, and noise.

Memory is the peak of the process above what it takes before the network is made. The peaks of
updates and of other steps are apart: what they differ by, RigL keeps under `search_memory`.
"""

import argparse
import concurrent.futures
import dataclasses
import multiprocessing
import statistics
import time

import keras
import numpy as np
import tensorflow as tf
from benchmarks.machine import describe_machine
from benchmarks.process import peak_memory, reset_peak_memory, resident_memory
from rich.console import Console
from rich.table import Table

import keras_tickets as kt
from keras_tickets._tables import bytes_text
from keras_tickets.masks import masked_kernels


@dataclasses.dataclass(frozen=True)
class Network:
    """A network of two hidden layers, and the method that trains it.

    Attributes:
        method: Name of a class of `kt.optimizers`.
        inputs: Number of features.
        hidden: Units of each hidden layer.
        classes: Number of classes.
        epsilon: A kernel has `epsilon * (inputs + units)` weights.
        learning_rate: Of SGD; the wider the last kernel, the smaller.
    """

    method: str
    inputs: int
    hidden: int
    classes: int
    epsilon: float
    learning_rate: float


NETWORKS = {
    "set": Network(
        "SET", inputs=54_675, hidden=500_000, classes=18, epsilon=10, learning_rate=1e-6
    ),
    "rigl": Network("RigL", inputs=784, hidden=100_000, classes=10, epsilon=50, learning_rate=3e-6),
}
SMALL = {
    "set": Network("SET", inputs=200, hidden=300, classes=5, epsilon=4, learning_rate=1e-2),
    "rigl": Network("RigL", inputs=100, hidden=300, classes=5, epsilon=8, learning_rate=1e-2),
}
SEARCH_MEMORY = 2**28


def build(network: Network, options: argparse.Namespace) -> keras.Model:
    sizes = [network.inputs, network.hidden, network.hidden, network.classes]
    x = inputs = keras.Input((network.inputs,))
    for i, (before, units) in enumerate(zip(sizes, sizes[1:], strict=False), 1):
        share = network.epsilon * (before + units) / (before * units)
        x = kt.layers.SparseDense(
            units,
            max(1 - share, 0.0),
            "relu" if i < 3 else None,
            seed=options.seed,
            engine=options.engine,
            name=f"fc{i}",
        )(x)
    model = kt.SparseModel(inputs, x)
    optimizer = getattr(kt.optimizers, network.method)(
        keras.optimizers.SGD(network.learning_rate, momentum=0.9),
        update_every=options.update_every,
        end=options.steps,
        seed=options.seed,
        search_memory=SEARCH_MEMORY,
    )
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def batches(network: Network, options: argparse.Namespace) -> tf.data.Dataset:
    """Batches that are new at every step: centers of classes with as much noise."""
    rng = np.random.default_rng(options.seed)
    centers = rng.standard_normal((network.classes, network.inputs), np.float32)

    def draw():
        while True:
            y = rng.integers(network.classes, size=options.batch)
            yield centers[y] + rng.standard_normal(centers[y].shape, np.float32), y

    shapes = ((options.batch, network.inputs), (options.batch,))
    signature = tuple(map(tf.TensorSpec, shapes, (tf.float32, tf.int64)))
    return tf.data.Dataset.from_generator(draw, output_signature=signature)


class Steps(keras.callbacks.Callback):
    """Loss, seconds and peak memory of each step, where an epoch is one.

    Args:
        updates: The steps that update the positions of the weights.
    """

    def __init__(self, updates: range):
        super().__init__()
        self.updates = updates
        self.losses: list[float] = []
        self.seconds: list[float] = []
        self.peaks: list[int] = []

    def on_epoch_begin(self, epoch, logs=None):
        reset_peak_memory()
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds.append(time.perf_counter() - self.start)
        self.losses.append(logs["loss"])
        self.peaks.append(peak_memory())
        if epoch in self.updates or epoch % 10 == 0:
            kind = "update" if epoch in self.updates else "step"
            print(f"{kind} {epoch}: {self.seconds[-1]:.1f} s, loss {logs['loss']:.3f}", flush=True)


def measure(network: Network, options: argparse.Namespace) -> dict[str, float]:
    """Trains the network in this process; the figures, by what they are of."""
    tf.matmul(tf.ones((8, 8)), tf.ones((8, 8)))
    before, start = resident_memory(), time.perf_counter()
    reset_peak_memory()
    model = build(network, options)
    built, peak_of_building = time.perf_counter() - start, peak_memory()
    steps = Steps(range(options.update_every, options.steps, options.update_every))
    first = [layer.indices.numpy() for layer in model.layers[1:]]
    data = batches(network, options)
    model.fit(
        data, steps_per_epoch=1, epochs=options.steps, verbose=0, shuffle=False, callbacks=[steps]
    )
    others = [i for i in range(1, options.steps) if i not in steps.updates]
    moved = [
        1 - np.isin(layer.indices.numpy(), positions, assume_unique=True).mean()
        for layer, positions in zip(model.layers[1:], first, strict=True)
    ]
    return {
        "weights": sum(record.count() for record in masked_kernels(model)),
        "dense bytes": 4 * sum(record.size for record in masked_kernels(model)),
        "first loss": statistics.mean(steps.losses[:5]),
        "last loss": statistics.mean(steps.losses[-5:]),
        "share of weights moved": max(moved),
        "seconds to build": built,
        "seconds a step": statistics.median(steps.seconds[i] for i in others),
        "seconds an update": statistics.median(steps.seconds[i] for i in steps.updates),
        "peak of building": peak_of_building - before,
        "peak of steps": max(steps.peaks[i] for i in others) - before,
        "peak of updates": max(steps.peaks[i] for i in steps.updates) - before,
    }


def measure_apart(network: Network, options: argparse.Namespace) -> dict[str, float]:
    """`measure` in a fresh process."""
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, spawn) as pool:
        return pool.submit(measure, network, options).result()


def table_of(network: Network, options: argparse.Namespace, figures: dict[str, float]) -> Table:
    shape = f"{network.inputs:,}-{network.hidden:,}-{network.hidden:,}-{network.classes}"
    table = Table(title=f"{network.method}, {shape}, batch {options.batch}", show_header=False)
    for name, value in figures.items():
        if "peak" in name:
            text = f"{value / 1e6:,.0f} MB"
        elif "bytes" in name:
            text = bytes_text(value)
        else:
            text = f"{value:,}" if isinstance(value, int) else f"{value:,.3f}"
        table.add_row(name, text)
    return table


def main(arguments: list[str] | None = None) -> dict[str, dict[str, float]]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="+", choices=list(NETWORKS))
    parser.add_argument("--small", action="store_true", help="networks of a few hundred neurons")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--update_every", type=int, default=10)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    console, results = Console(), {}
    machine = describe_machine()
    console.print(f"{machine['processor']}, {machine['cores']} cores")
    for name in options.networks:
        network = (SMALL if options.small else NETWORKS)[name]
        results[name] = measure_apart(network, options)
        console.print(table_of(network, options, results[name]))
    return results


if __name__ == "__main__":
    main()
