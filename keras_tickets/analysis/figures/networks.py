"""Figures of what is inside networks: spectra, courses, degrees, sensitivity, pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from keras_tickets.analysis.figures._drawing import (
    band,
    check_drawable,
    curve,
    empty_figure,
    new_figure,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def over_time(
    values: Mapping[str, Mapping[int, float | Sequence[float]]], *, quantity: str
) -> Figure:
    """Plots a quantity over the steps of training: the mean over seeds, with minimum and maximum.

    Args:
        values: `{label: {step: value}}`, one curve per label; each value a number or, with several
            seeds, a list of numbers.
        quantity: What the values are, for the axis.

    Returns:
        The figure.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: There is nothing to draw.

    Example:

    ```python
    import keras_tickets as kt

    norms = {"RigL": {0: [1.0, 1.2], 100: [0.6, 0.5]}, "static": {0: 1.1, 100: 0.7}}
    figure = kt.analysis.figures.over_time(norms, quantity="gradient norm")
    ```
    """
    figure, axes = new_figure(values, "values")
    for label, by_step in values.items():
        steps = sorted(by_step)
        curve(axes, label, steps, [np.atleast_1d(by_step[step]).tolist() for step in steps])
    axes.set(xlabel="step", ylabel=quantity)
    axes.legend()
    return figure


def spectrum(densities: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Plots densities of eigenvalues on a logarithmic axis.

    Args:
        densities: `{label: (eigenvalues, density)}`, one curve per label, such as points and
            `Curvature.density(points, width)`.

    Returns:
        The figure, from the highest density down to a billionth of it.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: There is nothing to draw.

    Example:

    ```python
    import numpy as np
    import keras_tickets as kt

    run = kt.analysis.lanczos(lambda vector: np.arange(9) * vector, size=9, steps=9)
    points = np.linspace(-1, 9, 200)
    figure = kt.analysis.figures.spectrum({"Hessian": (points, run.density(points, 0.1))})
    ```
    """
    figure, axes = new_figure(densities, "densities")
    highest = max(float(np.max(density)) for _, density in densities.values())
    for label, (points, density) in densities.items():
        axes.plot(points, density, label=label)
    axes.set_yscale("log")
    axes.set(xlabel="eigenvalue", ylabel="density", ylim=(1e-9 * highest, 2 * highest))
    axes.legend()
    return figure


def degrees(counts: Mapping[str, Sequence[int] | np.ndarray], *, quantity: str) -> Figure:
    """Plots how many units have which number of live weights.

    Args:
        counts: `{label: (units,)}`, one histogram per label, such as `fan_in` of
            `kt.analysis.Degrees` before and after training.
        quantity: What is counted, for the axis.

    Returns:
        The figure; its height is the share of units.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: There is nothing to draw.

    Example:

    ```python
    import keras_tickets as kt

    fans = {"start": [5, 5, 6, 4], "end": [1, 2, 8, 9]}
    figure = kt.analysis.figures.degrees(fans, quantity="fan-in")
    ```
    """
    figure, axes = new_figure(counts, "counts")
    highest = max(int(np.max(each)) for each in counts.values())
    edges = np.linspace(-0.5, highest + 0.5, min(highest + 1, 60) + 1)
    for label, each in counts.items():
        share = np.full(len(each), 1 / len(each))
        axes.hist(each, bins=edges.tolist(), weights=share, label=label, histtype="step")
    axes.set(xlabel=quantity, ylabel="share of units")
    axes.legend()
    return figure


def sensitivity(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]], *, quantity: str = "accuracy (%)"
) -> Figure:
    """Plots accuracy against the sparsity of one kernel at a time.

    Args:
        curves: `{kernel path: (sparsities, accuracies)}`, one curve per kernel; both in [0, 1].
        quantity: What the accuracies are, for the axis.

    Returns:
        The figure; both axes in percent.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: There is nothing to draw.

    Example:

    ```python
    import keras_tickets as kt

    curves = {"fc1": ([0, 0.5, 0.9], [0.98, 0.97, 0.9]), "fc2": ([0, 0.5, 0.9], [0.98, 0.9, 0.4])}
    figure = kt.analysis.figures.sensitivity(curves)
    ```
    """
    figure, axes = new_figure(curves, "curves")
    for label, (sparsities, accuracies) in curves.items():
        axes.plot(100 * np.asarray(sparsities), 100 * np.asarray(accuracies), ".-", label=label)
    axes.set(xlabel="zeros in the kernel (%)", ylabel=quantity)
    axes.legend(fontsize="x-small", ncols=-(-len(curves) // 12))
    return figure


def pictures(images: Mapping[str, np.ndarray]) -> Figure:
    """Draws arrays as pictures side by side, on one scale.

    Args:
        images: `{title: (height, width)}`, such as `kt.analysis.input_connections` at several
            steps, or the filters of a first convolution.

    Returns:
        The figure, with a bar that tells the values of the colors.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: There is nothing to draw, or an array does not have two axes.

    Example:

    ```python
    import keras_tickets as kt

    model = kt.sparsify(kt.models.lenet_300_100(), 0.98)
    picture = kt.analysis.input_connections(model, (28, 28))
    figure = kt.analysis.figures.pictures({"start": picture})
    ```
    """
    figure = empty_figure()
    check_drawable(images, "images")
    for title, image in images.items():
        if np.ndim(image) != 2:
            raise ValueError(
                f"`images[{title!r}]` must have two axes. Received: shape={np.shape(image)}"
            )
    columns = min(len(images), 4)
    grid = figure.subplots(-(-len(images) // columns), columns, squeeze=False)
    low = min(float(np.min(image)) for image in images.values())
    high = max(float(np.max(image)) for image in images.values())
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, (title, image) in zip(grid.flat, images.items(), strict=False):
        drawn = axes.imshow(image, vmin=low, vmax=high)
        axes.set_title(title)
    figure.colorbar(drawn, ax=list(grid.flat))
    return figure


def worlds(
    curves: Mapping[str, tuple[Sequence[int] | np.ndarray, np.ndarray, np.ndarray]],
    *,
    quantity: str = "test soft error (%)",
) -> Figure:
    """Plots the errors of networks in the real and in the ideal world by step.

    Args:
        curves: `{label: (steps, real, ideal)}`, one color per label: solid in the real world,
            dashed in the ideal one, such as `steps`, `real.soft_errors` and `ideal.soft_errors` of
            `kt.analysis.Worlds`; errors in [0, 1] of shape (points,), or (seeds, points) for the
            mean over seeds with a band from minimum to maximum.
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

    real, ideal = np.array([[0.9, 0.5], [0.9, 0.6]]), np.array([[0.9, 0.4], [0.9, 0.45]])
    figure = kt.analysis.figures.worlds({"dense": ([0, 100], real, ideal)})
    ```
    """
    figure, axes = new_figure(curves, "curves")
    for place, (label, (steps, *both)) in enumerate(curves.items()):
        for world, style, errors in zip(("real", "ideal"), ("-", "--"), both, strict=True):
            errors = 100 * np.atleast_2d(errors)
            if errors.shape[-1] != len(steps):
                raise ValueError(
                    f"`curves[{label!r}]` has {len(steps)} steps and {errors.shape[-1]} errors of "
                    f"the {world} world."
                )
            band(axes, f"{label}, {world}", steps, errors, color=f"C{place}", linestyle=style)
    axes.set(xlabel="step", ylabel=quantity)
    axes.legend()
    return figure
