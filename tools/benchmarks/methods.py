"""What a training step of each method costs, against a fixed mask."""

import argparse

from method_recipes import METHODS
from rich.table import Table

from benchmarks.subjects import MODELS, NEVER, SPARSITY, UPDATE_EVERY, sgd, training_block
from benchmarks.timing import ratio, spread, take_turns
from keras_tickets import models

STATIC, CONTROL = "Static", "Static, control"
# The rows that are not methods of the table as they stand: whose they are, and what they change.
VARIANTS = {
    CONTROL: ("Static", {}),
    "RigL, mean over 8 batches": ("RigL", {"mean_over": 8}),
    "RigL, constant fan-in": ("RigL, fan-in", {}),
    "StraightThrough, every step": ("StraightThrough", {"update_every": 1}),
}
ROWS = (
    STATIC,
    CONTROL,
    "SET",
    "RigL",
    "RigL, mean over 8 batches",
    "RigL, constant fan-in",
    "SNFS",
    "GradualMagnitude",
    "GradualMagnitude, global",
    "GradualMagnitude, regrow",
    "TopKAST",
    "StraightThrough",
    "StraightThrough, every step",
    "DNW",
)


def benchmark_methods(name: str, options: argparse.Namespace) -> tuple[Table, dict]:
    """Times all methods at the largest number of steps a call."""
    steps, each_call = options.steps or MODELS[name][2], options.steps_per_execution[-1]
    blocks = {}
    for row in ROWS:
        method, changes = VARIANTS.get(row, (row, {}))
        model = METHODS[method].sparsify(getattr(models, name)(seed=0), SPARSITY)
        arguments = {"update_every": UPDATE_EVERY, "end": NEVER, **changes}
        optimizer = METHODS[method].make(sgd(), **arguments)
        blocks[row] = training_block(model, optimizer, name, steps, each_call)
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
