"""Draws what `tools/landscape_study.py` has found so far, and prints its tables.

    python tools/landscape_figures.py runs/landscape --output docs/figures/landscape

A figure for each network, whose name is added: means over the seeds that are there, with bands from
minimum to maximum.
"""

import argparse
import json
import pathlib
from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

WAYS = {"line": "straight line", "union": "curve, both masks", "dense": "curve, all weights"}
COLORS = {
    **{"static": "tab:gray", "RigL": "tab:blue", "SET": "tab:orange"},
    **{"line": "tab:gray", "union": "tab:blue", "dense": "tab:green"},
}


def read(directory: pathlib.Path) -> dict[str, dict[str, list[dict]]]:
    """`{network: {cell: [content of each seed]}}`, in the order of the seeds."""
    found: dict[str, dict[str, list[dict]]] = {}
    for file in sorted(directory.glob("*/seed_*/*.json")):
        network = found.setdefault(file.parts[-3], {})
        network.setdefault(file.stem, []).append(json.loads(file.read_text(encoding="utf-8")))
    return found


def band(axes: Axes, x: Sequence[float], runs: Iterable[Sequence[float]], name: str, label: str):
    """The mean over runs as a line, and a band from minimum to maximum."""
    values = np.array(list(runs))
    axes.plot(x, values.mean(0), color=COLORS[name], label=label, linewidth=1.6)
    axes.fill_between(x, values.min(0), values.max(0), color=COLORS[name], alpha=0.2, linewidth=0)


def draw(cells: dict[str, list[dict]]) -> Figure:
    """The four panels of a network, without those of which nothing has been computed."""
    figure = Figure(figsize=(9.0, 6.4), layout="constrained")
    panels = figure.subplots(2, 2).flat
    for axes, panel in zip(panels, (ways, escape, gradients, exploration), strict=True):
        axes.grid(alpha=0.3)
        panel(axes, cells)
        axes.set_visible(axes.has_data())
        if axes.has_data():
            axes.legend(fontsize=8)
    return figure


def ways(axes: Axes, cells: dict[str, list[dict]]) -> None:
    """Training loss along the ways from the static solution to RigL's."""
    axes.set(xlabel="static → RigL", ylabel="training loss", title="Ways between two solutions")
    for way, label in WAYS.items():
        if runs := [each[way] for each in cells.get("ways", [])]:
            band(axes, runs[0]["alphas"], [each["losses"]["train"] for each in runs], way, label)


def escape(axes: Axes, cells: dict[str, list[dict]]) -> None:
    """Training loss of the two trainings that begin at the static solution."""
    axes.set(xlabel="step", ylabel="training loss", title="Trained on from the static solution")
    for method in ("static", "RigL"):
        if runs := [each[method] for each in cells.get("escape", [])]:
            losses = [each["losses"] for each in runs]
            every = steps_of(cells) / len(losses[0])
            band(axes, every * (1 + np.arange(len(losses[0]))), losses, method, method)
            starts = [each["static"]["train_loss"] for each in cells["solutions"][: len(runs)]]
    if cells.get("escape"):
        axes.axhline(np.mean(starts), color="black", linestyle=":", label="static solution")


def gradients(axes: Axes, cells: dict[str, list[dict]]) -> None:
    """Norms of the gradient over steps, before updates and after them."""
    axes.set(
        xlabel="step", ylabel="norm of the gradient", title="Before updates (line) and after (×)"
    )
    for method, runs in measured(cells).items():
        steps = runs[0]["steps"][1:]
        before, after = ([run[when][1:] for run in runs] for when in ("before", "after"))
        band(axes, steps, before, method, method)
        if method != "static":
            axes.plot(steps, np.mean(after, 0), "x", color=COLORS[method], markersize=5)


def exploration(axes: Axes, cells: dict[str, list[dict]]) -> None:
    """Test accuracy against the share of weights that have ever been active."""
    axes.set(xlabel="weights ever active, %", ylabel="test accuracy, %", title="Exploration")
    for method, by_interval in explored(cells).items():
        for interval, runs in by_interval.items():
            x, y = (
                100 * np.array([run[key] for run in runs])
                for key in ("exploration", "test_accuracy")
            )
            spread = np.abs(np.array([[y.min()], [y.max()]]) - y.mean())
            axes.errorbar(x.mean(), y.mean(), spread, fmt="o", color=COLORS[method], capsize=2)
            if interval:
                text = str(interval)
                axes.annotate(
                    text, (x.mean(), y.mean()), (5, 3), fontsize=7, textcoords="offset points"
                )
        axes.plot([], [], "o", color=COLORS[method], label=method)
    axes.margins(0.1)


def steps_of(cells: dict[str, list[dict]]) -> int:
    """Steps of every training."""
    return cells["solutions"][0]["static"]["norms"]["steps"][-1]


def measured(cells: dict[str, list[dict]]) -> dict[str, list[dict]]:
    """`{method: [norms of each seed]}` of the trainings from the start."""
    found = {
        method: [each[method]["norms"] for each in cells["solutions"]]
        for method in ("static", "RigL")
    }
    for name, runs in cells.items():
        norms = [run["norms"] for run in runs if run.get("norms")]
        if norms:
            found[name.split("_")[1]] = norms
    return found


def explored(cells: dict[str, list[dict]]) -> dict[str, dict[int, list[dict]]]:
    """`{method: {steps between updates: [training of each seed]}}`; 0 for static training."""
    usual = steps_of(cells) // len(cells["solutions"][0]["RigL"]["losses"])
    found: dict[str, dict[int, list[dict]]] = {
        "static": {0: [each["static"] for each in cells["solutions"]]},
        "RigL": {usual: [each["RigL"] for each in cells["solutions"]]},
    }
    for name, runs in cells.items():
        if name.startswith("exploration_"):
            _, method, every = name.split("_")
            found.setdefault(method, {})[int(every)] = runs
    return {method: dict(sorted(runs.items())) for method, runs in found.items()}


def tables(cells: dict[str, list[dict]]) -> Iterable[str]:
    """The tables of a network in Markdown: mean ± sample standard deviation (each seed)."""
    if found := cells.get("ways"):
        yield row("way", "highest training loss", "above the higher end", "highest test error, %")
        yield row(*["---"] * 4)
        yield from (along(label, [each[way] for each in found]) for way, label in WAYS.items())
        yield ""
    yield row(
        "training", "steps between updates", "training loss", "test accuracy, %", "explored, %"
    )
    yield row(*["---"] * 5)
    for method, by_interval in explored(cells).items():
        for interval, runs in by_interval.items():
            yield training(method, interval or "", runs)
    for method in ("static", "RigL"):
        if runs := [each[method] for each in cells.get("escape", [])]:
            yield training(f"static solution, then {method}", "", runs)
    yield ""
    yield row("gradient norm after an update, over before", "first third of updates", "last third")
    yield row(*["---"] * 3)
    for method, runs in measured(cells).items():
        if method != "static":
            early, late = zip(*map(ratios, runs), strict=True)
            yield row(method, text(early, 2), text(late, 2))


def along(label: str, found: Sequence[dict]) -> str:
    """A row of the table of ways."""
    losses = [each["losses"]["train"] for each in found]
    highest = [max(each) for each in losses]
    above = [max(each) - max(each[0], each[-1]) for each in losses]
    errors = [100 * max(each["errors"]["test"]) for each in found]
    return row(label, text(highest, 3), text(above, 3), text(errors, 1))


def ratios(norms: dict) -> tuple[float, float]:
    """Mean ratio over the measured updates of the first and the last third of the window."""
    changed = [
        after / before
        for before, after in zip(norms["before"], norms["after"], strict=True)
        if after != before
    ]
    third = max(len(changed) // 3, 1)
    return float(np.mean(changed[:third])), float(np.mean(changed[-third:]))


def training(name: str, interval: int | str, runs: Sequence[dict]) -> str:
    """A row of the table of trainings."""
    losses = [run["train_loss"] for run in runs]
    accuracies, shares = (
        [100 * run[key] for run in runs] for key in ("test_accuracy", "exploration")
    )
    return row(name, interval, text(losses, 3), text(accuracies, 2), f"{np.mean(shares):.1f}")


def row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def text(values: Sequence[float], digits: int) -> str:
    """`1.23 ± 0.04 (1.20, 1.26)`; a single value alone."""
    each = ", ".join(f"{value:.{digits}f}" for value in values)
    if len(values) < 2:
        return each
    return f"{np.mean(values):.{digits}f} ± {np.std(values, ddof=1):.{digits}f} ({each})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("--output", help="beginning of the names of the figures")
    arguments = parser.parse_args()
    for network, cells in read(arguments.directory).items():
        print(f"{network}\n")
        print("\n".join(tables(cells)), end="\n\n")
        if arguments.output:
            draw(cells).savefig(f"{arguments.output}_{network}.png", dpi=100)


if __name__ == "__main__":
    main()
