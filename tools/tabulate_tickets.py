"""Prints a Markdown table of lottery-ticket runs, mean and spread over seeds, and draws it.

    python tools/tabulate_tickets.py runs/mnist_tickets --figures docs/figures/mnist

Reads every `summary.json` with levels below the given directories; runs that differ in their seed
alone make one row.
"""

import argparse
import json
import pathlib
import statistics

from keras_tickets.analysis import figures

TICKET = "ticket"


def read(directories: list[pathlib.Path]) -> dict[str, list[dict]]:
    """`{"ticket" or name of a control: one summary per seed}`, each with its own levels."""
    files = sorted(file for directory in directories for file in directory.rglob("summary.json"))
    runs: dict[str, list[dict]] = {}
    for file in files:
        summary = json.loads(file.read_text(encoding="utf-8"))
        levels = summary.get("levels", [])
        branches = {TICKET: levels} if levels else {}
        for row in levels:
            for control, result in row.get("controls", {}).items():
                branches.setdefault(control, []).append(result)
        for name, rows in branches.items():
            runs.setdefault(name, []).append({"seed": summary["seed"], "levels": rows})
    return runs


def tabulate(runs: dict[str, list[dict]], field: str, factor: float, digits: int) -> str:
    """A row for each level; a column for the ticket and for each control."""
    columns = {name: _by_level(summaries, field) for name, summaries in runs.items()}
    density = _by_level(runs[TICKET], "density")
    head = f"| level | weights left, % | {' | '.join(runs)} |"
    lines = [head, "|---" * (2 + len(runs)) + "|"]
    for level, shares in density.items():
        cells = [_cell(column.get(level, []), factor, digits) for column in columns.values()]
        lines.append(f"| {level} | {100 * shares[0]:.1f} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _by_level(summaries, field):
    found: dict[int, list[float]] = {}
    for summary in sorted(summaries, key=lambda summary: summary["seed"]):
        for row in summary["levels"]:
            found.setdefault(row["level"], []).append(row[field])
    return found


def _cell(values, factor, digits):
    if not values:
        return "–"
    spread = f" ± {factor * statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{factor * statistics.mean(values):.{digits}f}{spread}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directories", nargs="+", type=pathlib.Path)
    parser.add_argument("--figures", type=pathlib.Path, help="how the names of figures begin")
    arguments = parser.parse_args()
    runs = read(arguments.directories)
    if TICKET not in runs:
        parser.error("there is no finished run with levels below the given directories")
    seeds = [run["seed"] for run in runs[TICKET]]
    if len(set(seeds)) < len(seeds):
        parser.error(f"several runs have the same seed; the runs found have the seeds {seeds}")
    print(tabulate(runs, "test_accuracy", 100, 2))
    print()
    print(tabulate(runs, "early_stop_step", 1, 0))
    if arguments.figures:
        arguments.figures.parent.mkdir(parents=True, exist_ok=True)
        for name, draw in (("accuracy", figures.accuracy), ("early_stop", figures.early_stop)):
            draw(runs).savefig(f"{arguments.figures}_{name}.png", dpi=120)


if __name__ == "__main__":
    main()
