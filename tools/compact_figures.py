"""Measures what `kt.compact` saves: weights, bytes of the `.keras` file, and latency.

Each network is trained for some steps on random data, so that biases and batch statistics leave
their initial values, with a share of the channels that may be masked taken out. The dense model
with zeros and the compact one take turns.

    python tools/compact_figures.py
    python tools/compact_figures.py --dead=0.5 --rounds=20
"""

import argparse
import os
import pathlib
import statistics
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

import keras_tickets as kt
from keras_tickets.compact import compact

# For each network, which kernels lose channels: in a residual network, those inside the blocks.
NETWORKS = {"conv4": "^(?!logits)", "resnet20": "block._conv1/"}
BATCHES = (1, 32)


def trained(name: str, dead: float, steps: int) -> kt.SparseModel:
    """A network with a share of its channels masked, after some steps on random data."""
    model = getattr(kt.models, name)(seed=0)
    sparse = kt.sparsify(model, {NETWORKS[name]: dead}, structure=kt.structures.Channel())
    random = np.random.default_rng(0)
    images = random.normal(size=(32 * steps, *model.input_shape[1:])).astype("float32")
    labels = random.integers(0, 10, 32 * steps)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    sparse.compile(keras.optimizers.SGD(0.01, momentum=0.9), loss)
    sparse.fit(images, labels, batch_size=32, verbose=0)
    return sparse


def latencies(models, images, rounds: int) -> list[list[float]]:
    """Milliseconds of a call of each model, which take turns."""
    functions = [tf.function(model, autograph=False) for model in models]
    times = [[] for _ in models]
    for turn in range(rounds + 3):
        for function, taken in zip(functions, times, strict=True):
            start = time.perf_counter()
            for _ in range(10):
                function(images, training=False).numpy()
            if turn >= 3:
                taken.append(100 * (time.perf_counter() - start))
    return times


def spread(times: list[float]) -> str:
    """Median, lowest and highest value."""
    return f"{statistics.median(times):.2f} ({min(times):.2f}-{max(times):.2f})"


def file_size(model: keras.Model) -> int:
    """Bytes of the model's `.keras` file."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "model.keras"
        model.save(path)
        return path.stat().st_size


def report(name: str, dead: float, steps: int, rounds: int) -> None:
    """Prints the figures of one network."""
    sparse = trained(name, dead, steps)
    plain, smaller = kt.strip(sparse), compact(sparse)
    random = np.random.default_rng(1)
    print(f"{name}, {dead:.0%} of the channels of kernels {NETWORKS[name]!r} dead")
    print(f"  weights: {plain.count_params():,} -> {smaller.count_params():,}")
    print(f"  bytes of the .keras file: {file_size(plain):,} -> {file_size(smaller):,}")
    for batch in BATCHES:
        images = random.normal(size=(batch, *plain.input_shape[1:])).astype("float32")
        before, after = latencies((plain, smaller), images, rounds)
        print(f"  ms at batch {batch}: {spread(before)} -> {spread(after)}")
    expected, actual = (np.asarray(model(images, training=False)) for model in (plain, smaller))
    difference = np.abs(expected - actual).max() / np.abs(expected).max()
    print(f"  largest difference of the outputs, relative to the largest output: {difference:.1e}")


def main(arguments=None) -> None:
    """Prints the figures of all networks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dead", type=float, default=0.3, help="share of channels masked")
    parser.add_argument("--steps", type=int, default=30, help="training steps")
    parser.add_argument("--rounds", type=int, default=15, help="blocks of 10 calls timed")
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    options = parser.parse_args(arguments)
    for name in options.networks:
        report(name, options.dead, options.steps, options.rounds)


if __name__ == "__main__":
    main()
