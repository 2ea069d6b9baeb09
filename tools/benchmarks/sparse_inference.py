"""LiteRT files that compute on sparse weights, against dense ones: speed by batch size, memory."""

import argparse
import pathlib
import tempfile
import time
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from rich.table import Table

from benchmarks.timing import ratio, spread, take_turns
from keras_tickets import models
from keras_tickets.export import apart
from keras_tickets.export._apart import run_litert
from keras_tickets.export.litert_file import LitertFile
from keras_tickets.export.litert_weights import WIDTHS, encode, sparse_forms

SPARSITIES = (0.9, 0.95, 0.98)
BATCHES, THREADS = (1, 8, 32), (1, 2)
BLOCK_SECONDS = 5e-3
DENSE, CONTROL, INT8 = "dense float", "control", "dense int8"


def mlp_4x4096() -> keras.Model:
    hidden = [keras.layers.Dense(4096, "relu") for _ in range(4)]
    return keras.Sequential([keras.Input((4096,)), *hidden])


NETWORKS: dict[str, Callable[[], keras.Model]] = {
    "lenet_300_100": lambda: models.lenet_300_100((784,), seed=0),
    "mlp_4x4096": mlp_4x4096,
}


def interpreter_class() -> type:
    """The interpreter that `kt.export` measures with."""
    return run_litert.classes()[0]


def convert(model: keras.Model, folder: pathlib.Path, quantize: bool) -> bytes:
    """The file that TensorFlow's converter makes, with int8 kernels if `quantize`."""
    if not (folder / "saved_model").exists():
        model.export(folder / "saved_model", verbose=False)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / "saved_model"))
    converter.optimizations = [tf.lite.Optimize.DEFAULT] if quantize else []
    return converter.convert()


def with_zeros(content: bytes, form: str, sparsity: float) -> bytes:
    """A dense file in the form, each kernel with as many random blocks of zeros."""
    file, random = LitertFile(content), np.random.default_rng(0)
    for index in file.kernels():
        values = file.values(index).copy()
        width = WIDTHS[form] if values.shape[1] % WIDTHS[form] == 0 else 1
        blocks = values.reshape(-1, width)
        blocks[random.permutation(len(blocks))[: round(sparsity * len(blocks))]] = 0
        file.store(file.tensors[index], values)
    content, int8 = file.pack(), form == "1x16"
    file = LitertFile(content)
    forms = {index: form for index in file.kernels() if form in sparse_forms(file, index, int8)[0]}
    return encode(content, int8=int8, forms=forms)[0]


def write_files(model: keras.Model, folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """The files to compare, by what the table calls them."""
    dense = convert(model, folder, quantize=False)
    contents = {DENSE: dense, INT8: convert(model, folder, quantize=True)}
    for form in WIDTHS:
        kind = "int8" if form == "1x16" else "float"
        for sparsity in SPARSITIES:
            contents[f"{form} {kind}, {sparsity:.0%}"] = with_zeros(dense, form, sparsity)
    paths = {row: folder / f"{place}.tflite" for place, row in enumerate(contents)}
    for row, path in paths.items():
        path.write_bytes(contents[row])
    return paths


def invocation(path: pathlib.Path, values: np.ndarray, threads: int) -> Callable[[], float]:
    """A block that runs a file, and returns the seconds of a call."""
    interpreter = interpreter_class()(str(path), num_threads=threads)
    place = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(place, values.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(place, values)

    def seconds(calls: int) -> float:
        start = time.perf_counter()
        for _ in range(calls):
            interpreter.invoke()
        return (time.perf_counter() - start) / calls

    seconds(1)
    calls = max(1, int(BLOCK_SECONDS / seconds(1)))
    return lambda: seconds(calls)


def loaded_bytes(path: pathlib.Path, values: np.ndarray, folder: pathlib.Path) -> int:
    """The memory that a file takes in a new process."""
    inputs = folder / "inputs.npz"
    (name,) = interpreter_class()(str(path)).get_signature_runner().get_input_details()
    np.savez(inputs, **{name: values})
    dtypes = {name: "float32"}
    reply = apart.request("ram", "litert", path=str(path), inputs=str(inputs), dtypes=dtypes)
    return reply["ram_bytes"] or 0


def benchmark_inference(name: str, options: argparse.Namespace) -> tuple[Table, dict]:
    """Every file of a network, at each batch size and number of threads."""
    model, random = NETWORKS[name](), np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        paths = write_files(model, pathlib.Path(folder))

        def inputs(batch):
            return random.standard_normal((batch, *model.input_shape[1:]), np.float32)

        figures: dict = {
            "bytes": {row: path.stat().st_size for row, path in paths.items()},
            "RAM bytes": {
                row: loaded_bytes(path, inputs(1), pathlib.Path(folder))
                for row, path in paths.items()
            },
        }
        for threads in THREADS:
            for batch in BATCHES:
                values = inputs(batch)
                blocks = {row: invocation(path, values, threads) for row, path in paths.items()}
                blocks[CONTROL] = invocation(paths[DENSE], values, threads)
                figures[_key(batch, threads)] = take_turns(blocks, options.rounds)
    return _table(name, figures, options.rounds), figures


def _key(batch: int, threads: int) -> str:
    return f"seconds at batch size {batch} with {threads} thread{'s' * (threads > 1)}"


def _table(name: str, figures: dict, rounds: int) -> Table:
    table = Table(title=f"LiteRT, {name}: times as fast as dense float, {rounds} rounds")
    table.add_column("")
    columns = ["MB on disk", "MB loaded", "ms, batch 1", *(f"batch {batch}" for batch in BATCHES)]
    for column in [*columns, "batch 1, over dense int8"]:
        table.add_column(column, justify="right")
    for threads in THREADS:
        times = {batch: figures[_key(batch, threads)] for batch in BATCHES}
        first = times[BATCHES[0]]
        for row in first:
            sizes = [figures[key].get(row) for key in ("bytes", "RAM bytes")]
            table.add_row(
                f"{row}, {threads} thread{'s' * (threads > 1)}",
                *("" if size is None else f"{size / 1e6:.2f}" for size in sizes),
                spread(first[row], 1e3, 3),
                *(spread(ratio(times[batch][DENSE], times[batch][row])) for batch in BATCHES),
                spread(ratio(first[INT8], first[row])),
            )
        table.add_section()
    return table
