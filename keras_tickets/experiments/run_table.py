"""The table of runs, for a terminal of 80 columns."""

import pathlib
from collections.abc import Iterable, Sequence

from keras_tickets._tables import GAP, WIDTH, fill, render_table
from keras_tickets.experiments.run_states import RunState


def render_runs(states: Sequence[RunState], below: pathlib.Path | None = None) -> str:
    """A row for each run, and the reasons of those that failed.

    Args:
        states: The runs.
        below: Directory that they are named from. None: by their whole paths.
    """
    named = [(_name(state, below), state) for state in states]
    metrics = list(dict.fromkeys(state.metric for state in states if state.metric))
    result = f"test {metrics[0].replace('_', ' ')}" if len(metrics) == 1 else "result"
    rows = [
        [
            name,
            state.state,
            progress_text(state),
            result_text(state, with_name=len(metrics) > 1),
            state.method or "",
            "" if state.seed is None else str(state.seed),
            "" if state.sparsity is None else f"{state.sparsity:.4g}",
        ]
        for name, state in named
    ]
    columns = ["", "state", "step", result, "method", "seed", "sparsity"]
    for column in _said_by_names(rows, columns):
        if max(len(row[0]) for row in rows) + _width(rows, columns) <= WIDTH:
            break
        index = columns.index(column)
        columns, rows = _without(columns, index), [_without(row, index) for row in rows]
    droppable = [name for name in ("method", "seed", "sparsity") if name in columns]
    lines = [render_table(columns, rows, droppable)]
    lines += [fill(f"{name}: {state.reason}") for name, state in named if state.reason]
    return "\n".join(lines)


def _said_by_names(rows, columns) -> list[str]:
    """The columns that the names of all runs repeat."""
    parts = {"method": "{}", "seed": "seed={}", "sparsity": "sparsity={}"}
    return [
        column
        for column, part in parts.items()
        if all(part.format(row[columns.index(column)]) in row[0] for row in rows)
    ]


def _width(rows, columns) -> int:
    """What all columns but the first take."""
    widths = [max(len(row[index]) for row in [columns, *rows]) for index in range(len(columns))]
    return sum(width + len(GAP) for width in widths[1:])


def _without(cells, index) -> list[str]:
    return [*cells[:index], *cells[index + 1 :]]


def count_states(states: Iterable[RunState]) -> str:
    """How many runs there are of which state: "3 finished, 1 running"."""
    counts: dict[str, int] = {}
    for one in states:
        counts[one.state] = counts.get(one.state, 0) + 1
    return ", ".join(f"{count} {state}" for state, count in counts.items())


def progress_text(state: RunState) -> str:
    """The step of the whole: "660 of 1320"; nothing where it is not known."""
    if state.step is None:
        return ""
    return str(state.step) if state.step == state.steps else f"{state.step} of {state.steps}"


def result_text(state: RunState, with_name: bool = False) -> str:
    """What the test set says, with the name of the metric where runs have several."""
    if state.value is None:
        return ""
    return f"{state.metric} {state.value:.4f}" if with_name else f"{state.value:.4f}"


def _name(state, below) -> str:
    if below is None or state.path == below:
        return str(state.path)
    return str(state.path.relative_to(below))
