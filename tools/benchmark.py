"""Measures training speed, topology updates and the memory that masks take.

All figures that are compared come from one run. The things compared take turns in blocks, in an
order that is rotated from round to round, and a ratio is taken between the blocks of one round, so
that a change in the speed of the machine meets them alike. A table shows medians, with the lowest
and the highest value in brackets. "control" is the first row once more, as another model: what its
ratio is off 1 is noise.

    python tools/benchmark.py                                      everything, about half an hour
    python tools/benchmark.py update --sizes 30000 235200          one section, small sizes
    python tools/benchmark.py train --models lenet_300_100 --rounds 3 --json figures.json
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.table import Table

import keras_tickets as kt
from keras_tickets import models

SPARSITY, UPDATE_EVERY, DROP_FRACTION, NEVER = 0.9, 100, 0.3, 10**9
KERNELS = {
    30_000: (300, 100),
    235_200: (784, 300),
    2_359_296: (3, 3, 512, 512),
    23_000_000: (4600, 5000),
}
# Batch size, input shape, and steps of a block: a multiple of 32 that holds several updates or one.
MODELS = {
    "lenet_300_100": (100, (28, 28, 1), 1600),
    "resnet20": (128, (32, 32, 3), 96),
}
CONTROL = "stock fit, control"


def take_turns(blocks: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Runs every block once unrecorded, then once a round; the seconds each returned, by round."""
    for block in blocks.values():
        block()
    names = list(blocks)
    seconds = {name: [] for name in names}
    for turn in range(rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            seconds[name].append(blocks[name]())
    return seconds


def spread(values: list[float], scale: float = 1.0, digits: int = 2) -> str:
    """Median, lowest and highest value."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle * scale:,.{digits}f} ({low * scale:,.{digits}f}-{high * scale:,.{digits}f})"


def ratio(over: list[float], under: list[float]) -> list[float]:
    """Ratios of two lists of times, round by round."""
    return [a / b for a, b in zip(over, under, strict=True)]


def timed(function: Callable, *args) -> Callable[[], float]:
    """A block that calls a function once."""

    def block():
        start = time.perf_counter()
        tf.nest.map_structure(lambda tensor: tensor.numpy(), function(*args))
        return time.perf_counter() - start

    return block


# --- Training -----------------------------------------------------------------------------------


class EpochTime(keras.callbacks.Callback):
    """The time from the beginning to the end of the last epoch, without tracing before it."""

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds = time.perf_counter() - self.start


def training_block(model, optimizer, name: str, steps: int, steps_per_execution: int):
    """Compiles a model; a block trains it and returns the seconds that a step took."""
    batch, shape, _ = MODELS[name]
    generator = np.random.default_rng(0)
    images = generator.random((8, batch, *shape), np.float32)
    labels = generator.integers(0, 10, (8, batch))
    data = tf.data.Dataset.from_tensor_slices((images, labels)).cache().repeat().prefetch(4)
    model.compile(
        optimizer,
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        steps_per_execution=steps_per_execution,
    )
    clock = EpochTime()

    def block():
        model.fit(
            data, epochs=1, steps_per_epoch=steps, shuffle=False, verbose=0, callbacks=[clock]
        )
        return clock.seconds / steps

    return block


def sgd() -> keras.optimizers.Optimizer:
    return keras.optimizers.SGD(0.01, momentum=0.9)


def rigl() -> keras.optimizers.Optimizer:
    return kt.optimizers.RigL(
        sgd(), update_every=UPDATE_EVERY, end=NEVER, drop_fraction=DROP_FRACTION
    )


def models_to_train(name: str) -> dict[str, Callable]:
    """What makes the model and the optimizer of each row."""
    make = getattr(models, name)
    rows = {}
    stock = make
    if name == "resnet20":

        def stock(seed):
            return make(seed=seed, fused_batch_norm=False)

        rows["stock fit, fused norm"] = lambda: (make(seed=0), sgd())
    return {
        "stock fit": lambda: (stock(seed=0), sgd()),
        CONTROL: lambda: (stock(seed=0), sgd()),
        **rows,
        "SparseModel, dense": lambda: (kt.SparseModel(make(seed=0)), sgd()),
        "Static": lambda: (kt.sparsify(make(seed=0), SPARSITY), kt.optimizers.Static(sgd())),
        "RigL": lambda: (kt.sparsify(make(seed=0), SPARSITY), rigl()),
    }


def benchmark_training(name: str, options: argparse.Namespace) -> tuple[Table, dict]:
    steps = options.steps or MODELS[name][2]
    blocks = {}
    for each_call in options.steps_per_execution:
        for row, make in models_to_train(name).items():
            blocks[f"{row} @{each_call}"] = training_block(*make(), name, steps, each_call)
    update, gradients, _ = rigl_update(getattr(models, name)(seed=0))
    blocks["one RigL update alone"] = timed(update, gradients)
    seconds = take_turns(blocks, options.rounds)

    table = Table(
        title=f"{name}, batch {MODELS[name][0]}: {options.rounds} blocks of {steps} steps"
    )
    dense, stock = (f"{row} @" for row in ("SparseModel, dense", "stock fit"))
    first = f"{stock}{options.steps_per_execution[0]}"
    columns = (
        "steps a call",
        "steps/s",
        "speed / our dense",
        "speed / stock fit",
        f"speed / {first}",
    )
    for column in ("", *columns):
        table.add_column(column, justify="right" if column else "left")
    for key, values in seconds.items():
        if "@" not in key:
            continue
        row, each_call = key.split(" @")
        against = (dense + each_call, stock + each_call, first)
        table.add_row(
            row,
            each_call,
            spread([1 / value for value in values], digits=1 if name == "resnet20" else 0),
            *(spread(ratio(seconds[other], values)) for other in against),
        )
    last = f"{dense}{options.steps_per_execution[-1]}"
    update = seconds["one RigL update alone"]
    table.caption = (
        f"One RigL update alone: {spread(update, 1e3)} ms, "
        f"{spread(ratio(update, seconds[last]))} times a step of {last}"
    )
    return table, seconds


# --- Topology updates ---------------------------------------------------------------------------


def rigl_update(dense: keras.Model, jit_compile: bool = False) -> tuple[Callable, list, list]:
    """RigL's update of a model as a function of the gradients; gradients; what it updates."""
    model = kt.sparsify(dense, SPARSITY)
    optimizer = rigl()
    optimizer.build(model.trainable_variables)
    optimizer.compiles_under_xla = jit_compile
    strategy, step = tf.distribute.get_strategy(), tf.constant(UPDATE_EVERY, tf.int64)

    @tf.function(jit_compile=jit_compile)
    def update(gradients):
        optimizer.update_topology(strategy, optimizer.topologies, gradients, step)
        return tf.constant(0)

    generator = np.random.default_rng(1)
    gradients = [
        tf.constant(generator.standard_normal(topology.masked.kernel.shape, np.float32))
        for topology in optimizer.topologies
    ]
    return update, gradients, optimizer.topologies


def full_sort_update(topology, jit_compile: bool) -> tuple[Callable, tf.Variable]:
    """The same rule on a copy of a kernel, each of its two choices by a sort of all scores."""
    (slot, _), *_ = topology.slots
    kernel, mask, slot = map(tf.Variable, (topology.masked.kernel, topology.masked.mask, slot))

    def best(scores, k):
        order = tf.argsort(tf.reshape(scores, [-1]), direction="DESCENDING", stable=True)
        ranked = tf.range(tf.size(scores)) < k
        chosen = tf.scatter_nd(order[:, None], tf.cast(ranked, tf.int32), tf.shape(order))
        return tf.reshape(chosen > 0, scores.shape)

    @tf.function(jit_compile=jit_compile)
    def update(gradients):
        old = tf.convert_to_tensor(mask)
        active = tf.reduce_sum(tf.cast(old, tf.int32))
        dropped = tf.cast(tf.cast(active, tf.float32) * DROP_FRACTION, tf.int32)
        kept = best(tf.where(old, tf.abs(kernel), -np.inf), active - dropped)
        new = kept | best(tf.where(kept, -np.inf, tf.abs(gradients[0])), dropped)
        kernel.assign(tf.where(new, kernel, 0.0))
        slot.assign(tf.where(new, slot, 0.0))
        mask.assign(new)
        return tf.constant(0)

    return update, mask


def one_kernel(shape: tuple[int, ...]) -> keras.Model:
    """A model with a single kernel of a shape."""
    if len(shape) == 2:
        layer, inputs = keras.layers.Dense(shape[-1], use_bias=False), keras.Input(shape[:1])
    else:
        layer = keras.layers.Conv2D(shape[-1], shape[:2], use_bias=False)
        inputs = keras.Input((*shape[:2], shape[2]))
    return keras.Model(inputs, layer(inputs))


def benchmark_updates(size: int, options: argparse.Namespace) -> tuple[Table, dict]:
    dense, blocks, masks = one_kernel(KERNELS[size]), {}, {}
    for jit_compile in (False, True):
        where = "XLA" if jit_compile else "graph"
        update, gradients, (topology,) = rigl_update(dense, jit_compile)
        sorting, mask = full_sort_update(topology, jit_compile)
        blocks |= {
            where: timed(update, gradients),
            f"{where}, full sort": timed(sorting, gradients),
        }
        masks |= {where: topology.masked.mask, f"{where}, full sort": mask}
    seconds = take_turns(blocks, options.rounds)
    for name, mask in masks.items():
        if not np.array_equal(mask, masks["graph"]):
            raise SystemExit(f"The updates of {size:,} weights by {name!r} and 'graph' differ.")

    table = Table(
        title=f"One RigL update, {size:,} weights {KERNELS[size]}: {options.rounds} rounds"
    )
    table.add_column("")
    for column in ("ms", "ms, full sort", "full sort / ours"):
        table.add_column(column, justify="right")
    for where in ("graph", "XLA"):
        ours, sorting = seconds[where], seconds[f"{where}, full sort"]
        table.add_row(
            where, spread(ours, 1e3), spread(sorting, 1e3), spread(ratio(sorting, ours), digits=1)
        )
    table.caption = "All masks are the same, element for element."
    return table, seconds


# --- Memory -------------------------------------------------------------------------------------


def benchmark_memory(name: str, options: argparse.Namespace) -> tuple[Table, dict]:
    dense = getattr(models, name)(seed=0)
    sparse = kt.sparsify(dense, SPARSITY)

    def held(variables):
        return sum(tf.convert_to_tensor(v).dtype.size * int(np.prod(v.shape)) for v in variables)

    def state(optimizer):
        optimizer.build(sparse.trainable_variables)
        return held(optimizer.variables)

    weights, added = held(dense.variables), held(sparse.variables) - held(dense.variables)
    masked = sum(mask.size for mask in sparse.masks.values())
    figures = {
        "weights of the model, bytes": weights,
        "added by the masks, bytes": added,
        "masked weights": masked,
        "added per masked weight, bytes": added / masked,
        "added by RigL to its inner optimizer's state, bytes": state(rigl()) - state(sgd()),
    }
    table = Table(title=f"Memory, {name}", show_header=False)
    for row, value in figures.items():
        table.add_row(row, f"{value:,}")
    return table, figures


# --- Command line -------------------------------------------------------------------------------

SECTIONS = {
    "train": (benchmark_training, "models"),
    "update": (benchmark_updates, "sizes"),
    "memory": (benchmark_memory, "models"),
}


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sections", nargs="*", help=f"any of {', '.join(SECTIONS)}; default: all")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--sizes", nargs="+", type=int, choices=KERNELS, default=list(KERNELS))
    parser.add_argument("--steps-per-execution", nargs="+", type=int, default=[1, 32])
    parser.add_argument("--steps", type=int, help="steps of a block, instead of each model's own")
    parser.add_argument("--rounds", type=int, default=8, help="recorded blocks of each row")
    parser.add_argument("--json", metavar="FILE", help="write every measured value there too")
    options = parser.parse_args(arguments)
    options.sections = options.sections or list(SECTIONS)
    for section in options.sections:
        if section not in SECTIONS:
            parser.error(f"no section {section!r}: choose from {', '.join(SECTIONS)}")
    if options.rounds < 1:
        parser.error(f"--rounds must be at least 1, not {options.rounds}")
    for each_call in options.steps_per_execution:
        if each_call < 1 or (options.steps or each_call) % each_call:
            parser.error(f"--steps {options.steps} is no multiple of {each_call} steps a call")
    return options


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    console = Console(width=None if os.isatty(1) else 160)
    machine = {
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "devices": [device.device_type for device in tf.config.list_logical_devices()],
    }
    console.print(machine)
    results = {"machine": machine}
    for section in options.sections:
        run, cases = SECTIONS[section]
        for case in getattr(options, cases):
            table, figures = run(case, options)
            console.print(table)
            results[f"{section} {case}"] = figures
            keras.backend.clear_session()
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
