"""The numbers that the figures draw."""

import subprocess
import sys

import numpy as np
import pytest

from keras_tickets.analysis import figures


def summary(*accuracies, step=100):
    return {
        "seed": 0,
        "levels": [
            {"level": n, "density": 0.8**n, "test_accuracy": a, "early_stop_step": step * (n + 1)}
            for n, a in enumerate(accuracies)
        ],
    }


def curve(axes, label):
    """x, mean, low and high of a curve with bars."""
    handles, labels = axes.get_legend_handles_labels()
    container = handles[labels.index(label)]
    line, _, (bars,) = container.lines
    low, high = np.array(bars.get_segments())[:, :, 1].T
    x, mean = line.get_xydata().T
    return x, mean, low, high


def test_accuracy_shows_mean_and_range_over_seeds():
    runs = {
        "IMP": [summary(0.98, 0.97, 0.9), summary(0.96, 0.97, 0.8), summary(0.97, 0.94)],
        "random": [summary(0.5, 0.4)],
    }
    figure = figures.accuracy(runs)
    (axes,) = figure.axes
    x, mean, low, high = curve(axes, "IMP")
    np.testing.assert_allclose(x, [100, 80, 64])
    np.testing.assert_allclose(mean, [97, 96, 85])
    np.testing.assert_allclose(low, [96, 94, 80])
    np.testing.assert_allclose(high, [98, 97, 90])
    np.testing.assert_allclose(curve(axes, "random")[1], [50, 40])
    assert axes.get_xscale() == "log" and axes.xaxis_inverted()
    assert axes.get_xlabel() == "weights remaining (%)"
    assert axes.get_ylabel() == "test accuracy (%)"


def test_early_stop_shows_steps():
    figure = figures.early_stop({"IMP": [summary(1, 1), summary(1, 1, step=300)]})
    _, mean, low, high = curve(figure.axes[0], "IMP")
    np.testing.assert_allclose([mean, low, high], [[200, 400], [100, 200], [300, 600]])


def test_stability_against_the_rewind_step():
    values = {"IMP": {500: [3.0, 1.0], 0: [10.0, 20.0, 30.0]}, "random": {0: [40.0]}}
    (axes,) = figures.against_rewind_step(values, quantity="L2 distance").axes
    x, mean, low, high = curve(axes, "IMP")
    np.testing.assert_allclose([x, mean, low, high], [[0, 500], [20, 2], [10, 1], [30, 3]])
    assert axes.get_ylabel() == "L2 distance" and axes.get_xscale() == "symlog"


def test_barriers():
    alphas = np.linspace(0, 1, 3)
    lines = {
        "k=0": (alphas, np.array([[0.1, 0.5, 0.1], [0.1, 0.7, 0.3]])),
        "k=9": (alphas, [0.1] * 3),
    }
    (axes,) = figures.barriers(lines).axes
    drawn = {line.get_label(): line.get_xydata() for line in axes.lines}
    np.testing.assert_allclose(drawn["k=0"], [[0, 10], [0.5, 60], [1, 20]])
    np.testing.assert_allclose(drawn["k=9"][:, 1], 10)
    (band,) = axes.collections
    corners = band.get_paths()[0].vertices
    assert corners[:, 1].min() == pytest.approx(10) and corners[:, 1].max() == pytest.approx(70)


def test_losses_along_lines_and_curves():
    alphas = np.linspace(0, 1, 3)
    lines = {
        "line": (alphas, np.array([[0.1, 2.0, 0.1], [0.3, 4.0, 0.1]])),
        "curve": (alphas, [0] * 3),
    }
    (axes,) = figures.losses(lines).axes
    drawn = {line.get_label(): line.get_ydata() for line in axes.lines}
    np.testing.assert_allclose(drawn["line"], [0.2, 3.0, 0.1])
    np.testing.assert_allclose(drawn["curve"], 0)
    assert axes.get_ylabel() == "training loss"
    with pytest.raises(ValueError, match="has 3 alphas and 2 losses"):
        figures.losses({"line": (alphas, [0.0, 1.0])})


@pytest.mark.parametrize("name", ["accuracy", "early_stop"])
def test_figures_are_written(name, tmp_path):
    getattr(figures, name)({"IMP": [summary(0.98, 0.97)]}).savefig(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_wrong_data():
    for runs in ({}, {"IMP": []}):
        with pytest.raises(ValueError, match="`runs` has nothing to draw"):
            figures.accuracy(runs)
    with pytest.raises(ValueError, match=r"`runs\['IMP'\]`: a level has no 'loss'"):
        figures.accuracy({"IMP": [summary(1)]}, field="loss")
    with pytest.raises(ValueError, match=r"`lines\['a'\]` has 2 alphas and 3 errors"):
        figures.barriers({"a": ([0, 1], [0, 0, 0])})


@pytest.mark.slow
def test_without_matplotlib_only_figures_are_missing():
    code = """
import sys
sys.modules["matplotlib"] = None
import keras_tickets as kt
try:
    kt.analysis.figures.accuracy({"IMP": [{"levels": []}]})
except ImportError as error:
    assert "pip install 'keras-tickets[figures]'" in str(error)
else:
    sys.exit("no error without matplotlib")
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
