"""Input pipelines: the examples that they deliver against those that training consumes."""

import argparse
import time
from collections.abc import Callable

from rich.table import Table

from benchmarks.timing import EpochTime, ratio, spread, take_turns
from keras_tickets.data import Batches
from keras_tickets.experiments.experiment import Experiment
from keras_tickets.experiments.gin_files import read_experiment

CONFIGURATIONS = ("cifar10/resnet20_base.gin", "tiny_shakespeare/dense.gin")
CONTROL = "pipeline, control"
BATCHES, KEPT = 200, 8


def pipeline(batches: Batches, count: int) -> Callable[[], float]:
    """A block that draws batches as fast as they come; it returns the seconds that one took."""
    data = iter(batches.train())

    def block():
        start = time.perf_counter()
        for _ in range(count):
            next(data)
        return (time.perf_counter() - start) / count

    return block


def training(experiment: Experiment, batches: Batches, steps: int) -> Callable[[], float]:
    """A block that trains on batches kept in memory; it returns the seconds that a step took."""
    model, clock = (
        experiment.procedure.start.sparse(experiment, experiment.dense_model()),
        EpochTime(),
    )
    experiment.compile(model)
    data = batches.train().take(KEPT).cache().repeat()

    def block():
        model.fit(
            data, epochs=1, steps_per_epoch=steps, shuffle=False, verbose=0, callbacks=[clock]
        )
        return clock.seconds / steps

    return block


def benchmark_input(name: str, options: argparse.Namespace) -> tuple[Table, dict]:
    steps = options.steps or 24
    experiment = read_experiment([name], [f"train.steps_per_execution={min(steps, 8)}"])
    batches = experiment.load_data()
    seconds = take_turns(
        {
            "training": training(experiment, batches, steps),
            "pipeline": pipeline(batches, options.steps or BATCHES),
            CONTROL: pipeline(batches, options.steps or BATCHES),
        },
        options.rounds,
    )
    table = Table(title=f"{name}, batch {batches.batch_size}: {options.rounds} blocks")
    for column in ("", "examples/s", "times what training consumes"):
        table.add_column(column, justify="right" if column else "left")
    for row, values in seconds.items():
        rates = [batches.batch_size / value for value in values]
        table.add_row(row, spread(rates, digits=0), spread(ratio(seconds["training"], values)))
    return table, seconds
