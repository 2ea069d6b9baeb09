"""What all figures share: empty axes, and curves with bars from minimum to maximum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def new_figure(curves: Mapping[str, Any], argument: str) -> tuple[Figure, Axes]:
    """An empty figure and its axes.

    Args:
        curves: What is to be drawn, by label.
        argument: The name of the argument, for errors.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: There is nothing to draw.
    """
    figure = empty_figure()
    check_drawable(curves, argument)
    axes = figure.subplots()
    axes.grid(alpha=0.3)
    return figure, axes


def empty_figure() -> Figure:
    """A figure without axes.

    Raises:
        ImportError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "Figures need matplotlib: pip install 'keras-tickets[figures]'"
        ) from error
    return Figure(figsize=(6.4, 4.0), layout="constrained")


def check_drawable(curves: Mapping[str, Any], argument: str) -> None:
    """Raises a `ValueError` that names the argument if there is nothing to draw."""
    if not curves or not all(len(each) for each in curves.values()):
        raise ValueError(f"`{argument}` has nothing to draw. Received: {argument}={curves!r}")


def curve(axes: Axes, label: str, x: Sequence[float], values: Sequence[Sequence[float]]) -> None:
    """Draws the mean of the values at each x, with bars from minimum to maximum."""
    mean = np.array([np.mean(each) for each in values])
    low = mean - [np.min(each) for each in values]
    high = [np.max(each) for each in values] - mean
    axes.errorbar(x, mean, yerr=np.maximum([low, high], 0), label=label, marker="o", capsize=2)


def band(
    axes: Axes, label: str, x: Sequence[float] | np.ndarray, values: np.ndarray, **style: Any
) -> None:
    """Draws the mean of values of shape (seeds, points), with a band from minimum to maximum."""
    (line,) = axes.plot(x, values.mean(axis=0), label=label, **style)
    if len(values) > 1:
        low, high = values.min(axis=0), values.max(axis=0)
        axes.fill_between(x, low, high, color=line.get_color(), alpha=0.2)
