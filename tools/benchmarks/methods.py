"""What a training step of each method costs, against a fixed mask."""

import argparse
from collections.abc import Callable

from rich.table import Table

import keras_tickets as kt
from benchmarks.subjects import MODELS, NEVER, SPARSITY, UPDATE_EVERY, sgd, training_block
from benchmarks.timing import ratio, spread, take_turns
from keras_tickets import models

STATIC, CONTROL = "Static", "Static, control"


def methods_to_train() -> dict[str, tuple[Callable, dict]]:
    """What makes the optimizer of each row, and the arguments of `kt.sparsify`."""
    calendar = {"update_every": UPDATE_EVERY, "end": NEVER}
    kto, ramp = kt.optimizers, kt.schedules.PolynomialDecay()
    dense = {"mask": "ones"}
    return {
        STATIC: (lambda: kto.Static(sgd()), {}),
        CONTROL: (lambda: kto.Static(sgd()), {}),
        "SET": (lambda: kto.SET(sgd(), **calendar), {}),
        "RigL": (lambda: kto.RigL(sgd(), **calendar), {}),
        "RigL, mean over 8 batches": (lambda: kto.RigL(sgd(), mean_over=8, **calendar), {}),
        "RigL, constant fan-in": (
            lambda: kto.RigL(sgd(), **calendar),
            {"structure": kt.structures.FanIn()},
        ),
        "SNFS": (lambda: kto.SNFS(sgd(), **calendar), {}),
        "GradualMagnitude": (lambda: kto.GradualMagnitude(sgd(), ramp, **calendar), dense),
        "GradualMagnitude, global": (
            lambda: kto.GradualMagnitude(sgd(), ramp, scope="global", **calendar),
            dense,
        ),
        "GradualMagnitude, regrow": (
            lambda: kto.GradualMagnitude(sgd(), ramp, regrow=True, **calendar),
            dense,
        ),
        "TopKAST": (lambda: kto.TopKAST(sgd(), update_every=UPDATE_EVERY), dense),
        "StraightThrough": (
            lambda: kto.StraightThrough(sgd(), update_every=UPDATE_EVERY),
            dense,
        ),
        "StraightThrough, every step": (lambda: kto.StraightThrough(sgd()), dense),
        "DNW": (lambda: kto.DNW(sgd()), dense),
    }


def benchmark_methods(name: str, options: argparse.Namespace) -> tuple[Table, dict]:
    """Times all methods at the largest number of steps a call."""
    steps, each_call = options.steps or MODELS[name][2], options.steps_per_execution[-1]
    blocks = {}
    for row, (make, arguments) in methods_to_train().items():
        model = kt.sparsify(getattr(models, name)(seed=0), SPARSITY, **arguments)
        blocks[row] = training_block(model, make(), name, steps, each_call)
    seconds = take_turns(blocks, options.rounds)
    table = Table(
        title=f"{name}, batch {MODELS[name][0]}, sparsity {SPARSITY}: {options.rounds} blocks of "
        f"{steps} steps, {each_call} a call"
    )
    table.add_column("")
    for column in ("ms a step", "cost / Static"):
        table.add_column(column, justify="right")
    for row, values in seconds.items():
        table.add_row(row, spread(values, 1e3), spread(ratio(values, seconds[STATIC])))
    table.caption = f"Updates every {UPDATE_EVERY} steps, but for DNW and where it says every step."
    return table, seconds
