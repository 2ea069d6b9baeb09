"""Figures of lottery tickets: accuracy by level, stability by rewind step, barriers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from keras_tickets.analysis.figures._drawing import band, curve, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Runs = Mapping[str, Sequence[Mapping]]


def accuracy(runs: Runs, *, field: str = "test_accuracy") -> Figure:
    """Plots accuracy against remaining weights: the mean over seeds, with minimum and maximum.

    Args:
        runs: `{label: summaries}`, one curve per label; a summary is the content of `summary.json`
            for a run with one seed, with `levels`: `[{"level": …, "density": …, "test_accuracy":
            …}, …]`.
        field: Field to plot, a number in [0, 1] for each level.

    Returns:
        The figure; weights remaining in percent, on a logarithmic axis that falls to the right.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: There is nothing to draw, or a level lacks a field.

    Example:

    ```python
    import keras_tickets as kt

    levels = [{"level": n, "density": 0.8**n, "test_accuracy": 0.98} for n in range(5)]
    figure = kt.analysis.figures.accuracy({"IMP": [{"levels": levels}]})
    ```
    """
    return _by_level(runs, field, f"{field.replace('_', ' ')} (%)", factor=100)


def early_stop(runs: Runs, *, field: str = "early_stop_step") -> Figure:
    """Plots the step of the lowest validation loss against the remaining weights.

    Args:
        runs: As in `accuracy`.
        field: Field to plot, a number of steps for each level.

    Returns:
        The figure, as in `accuracy`.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: There is nothing to draw, or a level lacks a field.

    Example:

    ```python
    import keras_tickets as kt

    levels = [{"level": n, "density": 0.8**n, "early_stop_step": 900 - n} for n in range(5)]
    figure = kt.analysis.figures.early_stop({"IMP": [{"levels": levels}]})
    ```
    """
    return _by_level(runs, field, field.replace("_", " "), factor=1)


def against_rewind_step(
    values: Mapping[str, Mapping[int, Sequence[float]]], *, quantity: str
) -> Figure:
    """Plots stability, or any other quantity, against the rewind step.

    Args:
        values: `{label: {step: values}}`, one curve per label, such as the `l2` of
            `kt.analysis.Distances`: the mean of the values, with bars from minimum to maximum.
        quantity: What the values are, for the axis.

    Returns:
        The figure; its step axis is logarithmic from the first nonzero step on.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: There is nothing to draw.

    Example:

    ```python
    import keras_tickets as kt

    distances = {"ticket": {0: [12.1, 11.8], 100: [7.2, 7.4]}, "random": {0: [12.5], 100: [11.9]}}
    figure = kt.analysis.figures.against_rewind_step(distances, quantity="L2 distance")
    ```
    """
    figure, axes = new_figure(values, "values")
    for label, by_step in values.items():
        steps = sorted(by_step)
        curve(axes, label, steps, [by_step[step] for step in steps])
    positive = [step for by_step in values.values() for step in by_step if step > 0]
    axes.set_xscale("symlog", linthresh=min(positive, default=1))
    axes.set(xlabel="rewind step", ylabel=quantity)
    axes.legend()
    return figure


def barriers(
    lines: Mapping[str, tuple[Sequence[float], np.ndarray]], *, quantity: str = "test error (%)"
) -> Figure:
    """Plots errors along the line between two networks.

    Args:
        lines: `{label: (alphas, errors)}`, one curve per label, such as `alphas` and
            `errors["test"]` of `kt.analysis.Connectivity`; errors in [0, 1] of shape (points,), or
            (pairs, points) for the mean over pairs with a band from minimum to maximum.
        quantity: What the errors are, for the axis.

    Returns:
        The figure.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: There is nothing to draw, or the numbers of points differ.

    Example:

    ```python
    import keras_tickets as kt
    import numpy as np

    alphas = np.linspace(0, 1, 5)
    figure = kt.analysis.figures.barriers({"k = 0": (alphas, 0.1 + alphas * (1 - alphas))})
    ```
    """
    return _along(lines, quantity, factor=100)


def losses(
    lines: Mapping[str, tuple[Sequence[float], np.ndarray]], *, quantity: str = "training loss"
) -> Figure:
    """Plots losses along lines and curves between two networks.

    Args:
        lines: `{label: (alphas, losses)}`, one curve per label, such as `alphas` and
            `losses["train"]` of `kt.analysis.Connectivity`; losses of shape (points,), or (pairs,
            points) for the mean over pairs with a band from minimum to maximum.
        quantity: What the losses are, for the axis.

    Returns:
        The figure.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: There is nothing to draw, or the numbers of points differ.

    Example:

    ```python
    import keras_tickets as kt
    import numpy as np

    alphas = np.linspace(0, 1, 5)
    line, curve = 0.1 + 2 * alphas * (1 - alphas), np.full(5, 0.1)
    figure = kt.analysis.figures.losses({"line": (alphas, line), "curve": (alphas, curve)})
    ```
    """
    return _along(lines, quantity, factor=1)


def _along(lines, quantity, factor):
    figure, axes = new_figure(lines, "lines")
    for label, (alphas, values) in lines.items():
        values = factor * np.atleast_2d(values)
        if values.shape[-1] != len(alphas):
            what = "errors" if factor == 100 else "losses"
            raise ValueError(
                f"`lines[{label!r}]` has {len(alphas)} alphas and {values.shape[-1]} {what}."
            )
        band(axes, label, alphas, values)
    axes.set(xlabel="α, from one network to the other", ylabel=quantity, xlim=(0, 1))
    axes.legend()
    return figure


def _by_level(runs, field, label_of_axis, factor):
    figure, axes = new_figure(runs, "runs")
    ticks: list[float] = []
    for label, summaries in runs.items():
        densities: dict[int, list[float]] = {}
        values: dict[int, list[float]] = {}
        for row in (row for summary in summaries for row in summary["levels"]):
            if missing := [name for name in ("level", "density", field) if name not in row]:
                raise ValueError(f"`runs[{label!r}]`: a level has no {missing[0]!r}, only {row}.")
            densities.setdefault(row["level"], []).append(100 * row["density"])
            values.setdefault(row["level"], []).append(factor * row[field])
        levels = sorted(values)
        x = [float(np.mean(densities[level])) for level in levels]
        curve(axes, label, x, [values[level] for level in levels])
        ticks = max(ticks, x, key=len)
    ticks = ticks[:: -(-len(ticks) // 8) or 1]
    axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.invert_xaxis()
    axes.set(xlabel="weights remaining (%)", ylabel=label_of_axis)
    axes.legend()
    return figure
