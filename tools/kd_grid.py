"""Trains tickets on labels and on soft labels, from several starts, and prints the table.

    python tools/kd_grid.py --gin_file=gin_configs/mnist/distill.gin --sparsities 0.9 0.95 0.98 \
        --rewind_to=18% --seeds 0 1 2 --directory=runs/kd_mnist

The grid is {labels, soft labels} x {initial weights, weights of the rewind step, final weights with
learning-rate rewinding}, and new weights under the same mask. Cells of one seed and rewind step
have the dense network in common, which is trained once. Runs that are finished in the directory are
not run again.
"""

import argparse
import dataclasses
import json
import pathlib
import shutil
import statistics
from collections.abc import Sequence

from keras_tickets._files.atomic import replace_file
from keras_tickets.experiments.gin_files import read_experiment
from keras_tickets.experiments.procedures import Tickets
from keras_tickets.experiments.train import train
from keras_tickets.trainers.rewind import REWINDS

STARTS = {
    "initial": {"rewind_to": 0, "rewind": REWINDS},
    "rewound": {"rewind": REWINDS},
    "final": {"rewind": ("schedule",)},
}
CELLS = [f"{labels}, {start}" for labels in ("labels", "soft labels") for start in STARTS]
ROWS = ["dense", *CELLS, "new weights"]


def run(
    experiment,
    directory: pathlib.Path,
    sparsity: float,
    rewind_to: str,
    dense: dict,
    starts: Sequence[str] = tuple(STARTS),
) -> dict[str, float]:
    """Test accuracies of the cells of these starts for one seed and sparsity.

    `dense` has a finished work directory for each seed and rewind step, and is added to.
    """
    found, distill = {}, experiment.procedure
    for start in starts:
        settings = {"rewind_to": rewind_to, **STARTS[start]}
        control = "reinit_from_0" if start == "initial" else None
        ranking = {"scope": distill.scope, "rates": distill.rates}
        ranking["optimizer_state"] = distill.optimizer_state
        labels = Tickets(levels=1, rate=sparsity, control=control, **ranking, **settings)
        soft = dataclasses.replace(distill, sparsity=sparsity, levels=1, **settings)
        for name, procedure in (("labels", labels), ("soft labels", soft)):
            chosen = dataclasses.replace(experiment, procedure=procedure)
            workdir = directory / f"{name.replace(' ', '_')}_{start}"
            finished = dense.setdefault((experiment.seed, settings["rewind_to"]), workdir)
            share_dense(finished, workdir, describe(chosen))
            summary = train(chosen, workdir, describe=lambda s=chosen: describe(s), verbose=0)
            level = summary["levels"][1]
            found[f"{name}, {start}"] = level["test_accuracy"]
            found["dense"] = summary["levels"][0]["test_accuracy"]
            if control:
                result = summary["levels"][1].get("controls", {}).get(control)
                found |= {"new weights": result["test_accuracy"]} if result else {}
    return found


def share_dense(finished: pathlib.Path, workdir: pathlib.Path, config: str) -> None:
    """Begins a work directory with the dense network of a finished one, unless it has begun."""
    if finished != workdir and not (workdir / "config.gin").exists():
        for part in ("rewind_point", "level_00"):
            shutil.copytree(finished / part, workdir / part, dirs_exist_ok=True)
        replace_file(workdir / "config.gin", config.encode())


def describe(experiment) -> str:
    """The settings that tell one cell from another, one a line."""
    settings = {"train.seed": experiment.seed, **vars(experiment.procedure)}
    return "\n".join(f"{name} = {value!r}" for name, value in settings.items() if name[0] != "_")


def table(results: dict[str, dict[str, list[float]]], rows: Sequence[str]) -> str:
    """A row for each training, a column for each sparsity: mean and spread in percent."""
    lines = [f"| training | {' | '.join(results)} |", "|---" * (1 + len(results)) + "|"]
    for name in rows:
        cells = []
        for column in results.values():
            values = [100 * value for value in column[name]]
            spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.2f}{spread}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gin_file", required=True)
    parser.add_argument("--gin_param", action="append", default=[])
    parser.add_argument("--sparsities", type=float, nargs="+", required=True)
    parser.add_argument("--rewind_to", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--starts", nargs="+", choices=STARTS, default=list(STARTS))
    parser.add_argument("--directory", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    results: dict[str, dict[str, list[float]]] = {}
    dense: dict[tuple, pathlib.Path] = {}
    for sparsity in arguments.sparsities:
        column = results.setdefault(f"{sparsity:.1%} zeros", {})
        for seed in arguments.seeds:
            experiment = read_experiment([arguments.gin_file], arguments.gin_param)
            experiment.seed = seed
            directory = arguments.directory / f"{sparsity}_{seed}"
            cells = run(
                experiment, directory, sparsity, arguments.rewind_to, dense, arguments.starts
            )
            for name, accuracy in cells.items():
                column.setdefault(name, []).append(accuracy)
            print(json.dumps({"sparsity": sparsity, "seed": seed, **column}), flush=True)
    done = {name for column in results.values() for name in column}
    print(table(results, [name for name in ROWS if name in done]))


if __name__ == "__main__":
    main()
