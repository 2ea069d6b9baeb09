"""What the figures of the page draw: a few numbers of each group, small enough for many runs."""

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from keras_tickets.experiments.report.groups import Group, is_number, is_share, spread

MOST_POINTS = 50
NOT_CURVES = ("epoch", "step", "level", "density", "nonzeros", "seconds", "steps")
# The figures of the looks at masks, and how those of several kernels become one.
LOOKS = (
    "sparsity",
    "exploration",
    "grown",
    "dropped",
    "overlap_first",
    "overlap_last",
    "gradient_before",
    "gradient_after",
)


def figures_of(one: Group) -> dict[str, Any]:
    """The data of a group's marks and curves, of what JSON knows."""
    results = one.results
    return {
        "series": series_of(one),
        "name": one.name,
        "sparsity": one.mean("sparsity"),
        "flops": one.mean("inference_flops_ratio"),
        "training": one.mean("training_course_ratio"),
        "bytes": one.bytes,
        "mean": statistics.fmean(results) if results else None,
        "spread": spread(results),
        "n": len(results),
        "curves": _curves(one),
        "looks": _looks(one),
        "layers": layers_of(one),
        "levels": levels_of(one),
    }


def series_of(one: Group) -> str:
    """What is joined by a line over sparsities: the method, and what differs besides sparsity."""
    return one.name


def _curves(one: Group) -> dict[str, list[list[float]]]:
    """`{metric: [epoch, mean, lowest, highest]}` over the runs, of a run with a row an epoch."""
    runs = [run.metrics for run in one.runs if "epoch" in run.metrics]
    names = [name for name in (runs[0] if runs else ()) if name not in NOT_CURVES]
    return {
        name: thinned(_over([dict(zip(r["epoch"], r.get(name, ()), strict=False)) for r in runs]))
        for name in names
    }


def _looks(one: Group) -> dict[str, list[list[float]]]:
    """`{figure: [step, mean, lowest, highest]}` of all kernels, over the runs."""
    runs = [run.looks for run in one.runs if run.looks]
    found = {}
    for name in LOOKS:
        combine = _norm if name.startswith("gradient") else _weighted
        points = thinned(_over([_by_step(rows, name, combine) for rows in runs]))
        if points:
            found[name] = points
    return found


def _by_step(rows: Iterable[dict], name: str, combine: Callable) -> dict[float, float]:
    steps: dict[float, list[dict]] = {}
    for row in rows:
        if row[name] is not None:
            steps.setdefault(row["step"], []).append(row)
    return {step: combine(found, name) for step, found in steps.items()}


def _weighted(rows: Sequence[dict], name: str) -> float:
    """The mean over all weights."""
    return sum(row[name] * row["weights"] for row in rows) / sum(row["weights"] for row in rows)


def _norm(rows: Sequence[dict], name: str) -> float:
    """The norm over all kernels."""
    return math.sqrt(sum(row[name] ** 2 for row in rows))


def _over(runs: Sequence[dict[float, float]]) -> list[list[float]]:
    """Mean, lowest and highest over the runs at each place that any has; of one run its value."""
    places = sorted({place for run in runs for place in run})
    points = []
    for place in places:
        values = [run[place] for run in runs if math.isfinite(run.get(place, math.nan))]
        if values:
            ends = [min(values), max(values)] if len(runs) > 1 else []
            points.append([place, statistics.fmean(values), *ends])
    return points


def thinned(points: list[list[float]], most: int = MOST_POINTS) -> list[list[float]]:
    """At most so many of the points, evenly spread, the first and the last among them."""
    if len(points) > most:
        places = [round(i * (len(points) - 1) / (most - 1)) for i in range(most)]
        points = [points[place] for place in places]
    return [[_short(value) for value in point] for point in points]


def layers_of(one: Group) -> list[list]:
    """`[kernel, share of zeros at the end]`, the mean over the runs."""
    kernels: dict[str, list[float]] = {}
    for run in one.runs:
        last = {row["kernel"]: row["sparsity"] for row in run.looks if is_number(row["sparsity"])}
        for kernel, sparsity in last.items():
            kernels.setdefault(kernel, []).append(sparsity)
    return [[kernel, _short(statistics.fmean(found))] for kernel, found in kernels.items()]


def levels_of(one: Group) -> list[dict[str, Any]]:
    """A row for each level of tickets, of them and of each control, over the runs."""
    found: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for run in one.runs:
        for row in run.summary.get("levels", ()):
            for branch, result in {"ticket": row, **row.get("controls", {})}.items():
                value = result.get(f"test_{one.metric}")
                if is_number(value):
                    place = found.setdefault((branch, row["level"]), [])
                    place.append((row["density"], value))
    return [
        {
            "branch": branch,
            "level": level,
            "density": _short(statistics.fmean(density for density, _ in values)),
            "mean": _short(statistics.fmean(value for _, value in values)),
            "spread": spread([value for _, value in values]),
            "n": len(values),
        }
        for (branch, level), values in found.items()
    ]


def kd_grid(groups: Sequence[Group]) -> tuple[list[float], list[tuple[str, list[Any]]]] | None:
    """Students on soft labels and their like: a row for each setting, a column for each sparsity.

    Args:
        groups: Groups of the same task.

    Returns:
        The sparsities, and for each row its name and a list of (mean, spread, n) or `None`; `None`
        where nothing is distilled.
    """
    taught = [one for one in groups if one.field("method") == "distill" and one.results]
    if not taught:
        return None
    plain = [
        one
        for one in groups
        if one.field("method") == "tickets" and len(one.runs[0].summary.get("levels", ())) == 2
    ]
    sparsities = sorted({round(one.mean("sparsity") or 0.0, 4) for one in taught})
    rows: dict[str, list[Any]] = {}
    for one in [*plain, *taught]:
        sparsity = round(one.mean("sparsity") or 0.0, 4)
        if sparsity in sparsities and one.results:
            row = rows.setdefault(one.name, [None] * len(sparsities))
            row[sparsities.index(sparsity)] = _cell(one.results)
    teachers = [value for one in taught for value in one.values(f"teacher_test_{one.metric}")]
    if teachers:
        rows = {"teacher": [_cell(teachers)] * len(sparsities), **rows}
    return sparsities, list(rows.items())


def _cell(values: Sequence[float]) -> tuple[float, float | None, int]:
    return statistics.fmean(values), spread(values), len(values)


def scale_of(metric: str) -> str:
    """The d3 format of a metric's axis."""
    return ".1%" if is_share(metric) else ".4~g"


def _short(value: float) -> float:
    """The value to four digits, a whole number in full: what a figure of many shows."""
    return int(value) if value == int(value) else float(f"{value:.4g}")
