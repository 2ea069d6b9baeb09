"""What a training step on soft labels costs, against one on hard labels."""

import argparse
import pathlib
import tempfile

from rich.table import Table

import keras_tickets as kt
from benchmarks.subjects import MODELS, SPARSITY, batches, sgd, training_block
from benchmarks.timing import ratio, spread, take_turns
from keras_tickets import models

HARD, CONTROL = "hard labels", "hard labels, control"


def benchmark_distillation(name: str, options: argparse.Namespace) -> tuple[Table, dict]:
    """Times a sparse student with a fixed mask; the teacher is its dense model."""
    steps, make = options.steps or MODELS[name][2], getattr(models, name)
    teacher = make(seed=1)
    with tempfile.TemporaryDirectory() as folder:
        logits = kt.trainers.cache_logits(
            pathlib.Path(folder) / "logits.safetensors", teacher, batches(name)
        )

    def student():
        return kt.sparsify(make(seed=0), SPARSITY)

    def cached():
        return kt.trainers.DistillationTrainer(student())

    rows = {
        HARD: (student, {}),
        CONTROL: (student, {}),
        "teacher": (lambda: kt.trainers.DistillationTrainer(student(), teacher), {}),
        "cached logits": (cached, {"attach": lambda data: logits.attach(data).cache()}),
        "cached logits, found each step": (
            cached,
            {"attach": lambda data: logits.attach(data.cache())},
        ),
    }
    blocks = {
        f"{row} @{each_call}": training_block(
            make_row(), kt.optimizers.Static(sgd()), name, steps, each_call, **arguments
        )
        for each_call in options.steps_per_execution
        for row, (make_row, arguments) in rows.items()
    }
    seconds = take_turns(blocks, options.rounds)
    return _table(name, options.rounds, steps, seconds), seconds


def _table(name: str, rounds: int, steps: int, seconds: dict) -> Table:
    table = Table(
        title=f"{name}, batch {MODELS[name][0]}, sparsity {SPARSITY}: {rounds} blocks of "
        f"{steps} steps"
    )
    table.add_column("")
    for column in ("steps a call", "ms a step", "cost / hard labels"):
        table.add_column(column, justify="right")
    for key, values in seconds.items():
        row, each_call = key.split(" @")
        table.add_row(
            row,
            each_call,
            spread(values, 1e3),
            spread(ratio(values, seconds[f"{HARD} @{each_call}"])),
        )
    table.caption = (
        "Logits are found by the fingerprint of each image: once, before `cache`, where inputs are "
        "the same in each epoch; at each step where they are augmented."
    )
    return table
