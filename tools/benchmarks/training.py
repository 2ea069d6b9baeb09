"""Training speed: dense, static and RigL, against stock `fit`."""

import argparse
from collections.abc import Callable

from rich.table import Table

import keras_tickets as kt
from benchmarks.subjects import MODELS, SPARSITY, rigl, sgd, training_block
from benchmarks.timing import ratio, spread, take_turns, timed
from benchmarks.updates import rigl_update
from keras_tickets import models

CONTROL = "stock fit, control"


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
