"""Prints a Markdown table of finished runs: mean and spread of test accuracy over seeds.

    python tools/tabulate_runs.py runs/mnist

Reads every `summary.json` below the given directories.
"""

import argparse
import collections
import json
import pathlib
import statistics
from collections.abc import Iterable

HEADER = """\
| data set | model | method | sparsity | weights left | steps | test accuracy, % | seeds |
|---|---|---|---|---|---|---|---|"""


def read(directories: Iterable[pathlib.Path]) -> list[dict]:
    """The summaries of all finished runs below some directories."""
    files = sorted(file for d in directories for file in d.rglob("summary.json"))
    return [json.loads(file.read_text(encoding="utf-8")) for file in files]


def tabulate(summaries: Iterable[dict]) -> str:
    """One row for each data set, model, method, sparsity and number of steps."""
    groups = collections.defaultdict(dict)
    for run in summaries:
        key = (run["dataset"], run["model"], run["method"], run["nonzeros"], run["steps"])
        groups[key][run["seed"]] = run
    rows = [HEADER]
    for (dataset, model, method, nonzeros, steps), runs in sorted(groups.items()):
        accuracies = [100 * runs[seed]["test_accuracy"] for seed in sorted(runs)]
        spread = f" ± {statistics.stdev(accuracies):.2f}" if len(accuracies) > 1 else ""
        each = ", ".join(f"{accuracy:.2f}" for accuracy in accuracies)
        sparsity = next(iter(runs.values()))["sparsity"]
        rows.append(
            f"| {dataset} | {model} | {method} | {sparsity:.3f} | {nonzeros:,} | {steps:,} "
            f"| {statistics.mean(accuracies):.2f}{spread} ({each}) "
            f"| {', '.join(map(str, sorted(runs)))} |"
        )
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directories", nargs="+", type=pathlib.Path)
    print(tabulate(read(parser.parse_args().directories)))


if __name__ == "__main__":
    main()
