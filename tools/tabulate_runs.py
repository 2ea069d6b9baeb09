"""Prints a Markdown table of finished runs: mean and spread of test accuracy over seeds.

    python tools/tabulate_runs.py runs/mnist

Reads every `summary.json` below the given directories. Runs that differ in their seed alone make
one row, and what else differs between rows is a column; two runs that differ in nothing are an
error. `--ignore=train.ticket` takes runs together that differ in that setting too.
"""

import argparse
import pathlib
import statistics
from collections.abc import Iterable, Sequence

from runs import group, in_words, read

HEADER = """\
| data set | model | method | sparsity | weights left | steps | test accuracy, % | seeds |
|---|---|---|---|---|---|---|---|"""


def tabulate(summaries: Iterable[dict], ignore: Sequence[str] = ()) -> str:
    """One row for each group of runs that differ in their seed alone.

    Args:
        summaries: Summaries of runs.
        ignore: Names of settings that do not part groups.

    Raises:
        ValueError: Two runs have the same settings and the same seed.
    """
    groups = group(summaries, ignore)
    lines = HEADER.splitlines()
    if any(one.differs for one in groups):
        lines = [f"{lines[0]} differs in |", f"{lines[1]}---|"]
    for one in groups:
        runs = one.runs
        first = next(iter(runs.values()))
        accuracies = [100 * runs[seed]["test_accuracy"] for seed in sorted(runs)]
        spread = f" ± {statistics.stdev(accuracies):.2f}" if len(accuracies) > 1 else ""
        each = ", ".join(f"{accuracy:.2f}" for accuracy in accuracies)
        cells = [
            *(first[name] for name in ("dataset", "model", "method")),
            f"{first['sparsity']:.3f}",
            f"{first['nonzeros']:,}",
            f"{first['steps']:,}",
            f"{statistics.mean(accuracies):.2f}{spread} ({each})",
            ", ".join(map(str, sorted(runs))),
        ]
        if any(other.differs for other in groups):
            cells.append(in_words(one.differs))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directories", nargs="+", type=pathlib.Path)
    parser.add_argument("--ignore", action="append", default=[], help="a setting that may differ")
    arguments = parser.parse_args()
    try:
        print(tabulate(read(arguments.directories), arguments.ignore))
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
