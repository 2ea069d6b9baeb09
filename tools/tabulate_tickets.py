"""Prints a Markdown table of lottery-ticket runs, mean and spread over seeds, and draws it.

    python tools/tabulate_tickets.py runs/mnist_tickets --figures docs/figures/mnist

Reads every `summary.json` with levels below the given directories; runs that differ in their seed
alone make one column, and each set of other settings a table of its own. Two runs that differ in
nothing are an error.
"""

import argparse
import pathlib
import statistics
from collections.abc import Iterable

from runs import group, in_words, read

from keras_tickets.analysis import figures

TICKET = "ticket"


def branches(summaries: Iterable[dict]) -> dict[str, list[dict]]:
    """`{"ticket" or name of a control: one summary per seed}`, each with its own levels."""
    found: dict[str, list[dict]] = {}
    for summary in summaries:
        rows = {TICKET: summary["levels"]}
        for row in summary["levels"]:
            for control, result in row.get("controls", {}).items():
                rows.setdefault(control, []).append(result)
        for name, levels in rows.items():
            found.setdefault(name, []).append({"seed": summary["seed"], "levels": levels})
    return found


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
    summaries = [run for run in read(arguments.directories) if run.get("levels")]
    if not summaries:
        parser.error("there is no finished run with levels below the given directories")
    try:
        groups = group(summaries)
    except ValueError as error:
        parser.error(str(error))
    if arguments.figures and len(groups) > 1:
        parser.error("--figures draws one set of settings; name the directories of one")
    for one in groups:
        runs = branches(one.runs.values())
        if one.differs:
            print(f"{in_words(one.differs)}\n")
        print(tabulate(runs, "test_accuracy", 100, 2))
        print()
        print(tabulate(runs, "early_stop_step", 1, 0))
        if len(groups) > 1:
            print()
    if arguments.figures:
        draw(runs, arguments.figures)


def draw(runs: dict[str, list[dict]], beginning: pathlib.Path) -> None:
    """Draws the figures of the only set of settings."""
    beginning.parent.mkdir(parents=True, exist_ok=True)
    for name, figure in (("accuracy", figures.accuracy), ("early_stop", figures.early_stop)):
        figure(runs).savefig(f"{beginning}_{name}.png", dpi=120)


if __name__ == "__main__":
    main()
