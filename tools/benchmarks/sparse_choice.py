"""Files of `kt.export(kernels="auto")` against files whose kernels are all expanded."""

import argparse
import collections
import pathlib
import tempfile

import keras
import numpy as np
from keras import layers
from rich.table import Table

import keras_tickets as kt
from benchmarks.sparse_inference import CONTROL, invocation
from benchmarks.timing import ratio, spread, take_turns

BATCHES = (1, 8, 32)
Block = kt.structures.Block
FLOAT, INT8 = Block.for_litert(), Block.for_litert(int8=True)


def lenet() -> keras.Model:
    return kt.models.lenet_300_100((784,), seed=0)


def mlp(*sizes: int) -> keras.Model:
    hidden = [layers.Dense(size, "relu") for size in sizes[1:]]
    return keras.Sequential([keras.Input(sizes[:1]), *hidden])


def convnet() -> keras.Model:
    inputs = keras.Input((16, 16, 3))
    x = layers.Conv2D(32, 3, strides=2, activation="relu")(inputs)
    x = layers.Dense(512, "relu", name="fc1")(layers.Flatten()(x))
    return keras.Model(inputs, layers.Dense(16, name="fc2")(x))


def transformer() -> keras.Model:
    inputs = keras.Input((16, 128))
    x = layers.Add()([inputs, layers.MultiHeadAttention(4, 32)(inputs, inputs)])
    x = layers.LayerNormalization()(x)
    x = layers.Add()([x, layers.Dense(128)(layers.Dense(512, "relu")(x))])
    return keras.Model(inputs, layers.Dense(16)(layers.GlobalAveragePooling1D()(x)))


# A model, its sparsity, its structure, and which kernels are sparse.
NETWORKS = {
    "LeNet-300-100, 90 %": (lenet, 0.9, None, None),
    "LeNet-300-100, 95 %": (lenet, 0.95, None, None),
    "LeNet-300-100, 98 %": (lenet, 0.98, None, None),
    "LeNet-300-100, 1x4, 80 %": (lenet, 0.8, FLOAT, None),
    "LeNet-300-100, 1x4, 95 %": (lenet, 0.95, FLOAT, None),
    "LeNet-300-100, int8 1x16, 90 %": (lenet, 0.9, INT8, "fc1"),
    "8 layers of 64, 80 %": (lambda: mlp(*[64] * 9), 0.8, None, None),
    "2 layers of 1024, 90 %": (lambda: mlp(1024, 1024, 1024), 0.9, None, None),
    "2 layers of 1024, 1x4, 90 %": (lambda: mlp(1024, 1024, 1024), 0.9, FLOAT, None),
    "256-2048-256, 95 %": (lambda: mlp(256, 2048, 256), 0.95, None, None),
    "convolution and 2 layers, 95 %": (convnet, 0.95, None, "fc"),
    "transformer block, 1x4, 90 %": (transformer, 0.9, FLOAT, None),
}


def benchmark_choice(batch: int, options: argparse.Namespace) -> tuple[Table, dict]:
    """All networks at one batch size."""
    table = Table(title=f'kernels="auto", batch size {batch}: {options.rounds} rounds')
    table.add_column("")
    table.add_column("kernels")
    for column in ("ms, expanded", "times as fast", "control"):
        table.add_column(column, justify="right")
    figures = {}
    for name, (make, sparsity, structure, filters) in NETWORKS.items():
        sparse = kt.sparsify(
            make(), sparsity, structure=structure, filters=filters, distribution="uniform"
        )
        seconds, forms = _race(sparse, structure is INT8, batch, options.rounds)
        figures[name] = {"kernels": dict(forms), **seconds}
        table.add_row(
            name,
            ", ".join(f"{count} {form}" for form, count in forms.items()),
            spread(seconds["packed"], 1e3, 3),
            spread(ratio(seconds["packed"], seconds["auto"])),
            spread(ratio(seconds["packed"], seconds[CONTROL])),
        )
    return table, figures


def _race(sparse, int8: bool, batch: int, rounds: int):
    """Seconds of a call of both files, and how many kernels of the second have which form."""
    quantize = "int8" if int8 else None
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: pathlib.Path(folder) / name for name in ("packed", "auto")}
        kt.export(sparse, paths["packed"], "litert", quantize=quantize)
        report = kt.export(
            sparse, paths["auto"], "litert", quantize=quantize, kernels="auto", batch_size=batch
        )
        values = np.random.default_rng(0).standard_normal((batch, *sparse.input_shape[1:]))
        values = values.astype(np.float32)
        blocks = {name: invocation(path, values, threads=1) for name, path in paths.items()}
        blocks[CONTROL] = invocation(paths["packed"], values, threads=1)
        seconds = take_turns(blocks, rounds)
    return seconds, collections.Counter(kernel.form for kernel in report.kernels)
