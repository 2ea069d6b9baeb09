"""The numbers that figures of the inside of networks draw."""

import numpy as np
import pytest

from keras_tickets.analysis import figures


def drawn(axes):
    return {line.get_label(): line.get_xydata() for line in axes.lines}


def test_courses_show_mean_and_range_over_seeds():
    (axes,) = figures.over_time({"RigL": {10: [3.0, 1.0], 0: 4.0}}, quantity="norm").axes
    (container,) = axes.containers
    line, _, (bars,) = container.lines
    np.testing.assert_allclose(line.get_xydata(), [[0, 4], [10, 2]])
    np.testing.assert_allclose(np.array(bars.get_segments())[:, :, 1], [[4, 4], [1, 3]])
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("step", "norm")


def test_spectra_are_logarithmic_down_to_a_billionth():
    points = np.array([0.0, 1.0, 2.0])
    (axes,) = figures.spectrum({"H": (points, np.array([10.0, 1e-12, 0.1]))}).axes
    np.testing.assert_array_equal(drawn(axes)["H"], [[0, 10], [1, 1e-12], [2, 0.1]])
    assert axes.get_yscale() == "log"
    np.testing.assert_allclose(axes.get_ylim(), [1e-8, 20])


def test_degrees_are_shares_of_units():
    (axes,) = figures.degrees({"start": [0, 2, 2, 3]}, quantity="fan-in").axes
    heights = [height for _, height in axes.patches[0].get_xy()]
    assert {0.25, 0.5} <= set(np.round(heights, 6)) and max(heights) == 0.5
    (axes,) = figures.degrees({"end": [1000, 5]}, quantity="fan-in").axes
    assert max(height for _, height in axes.patches[0].get_xy()) == 0.5


def test_sensitivity_is_in_percent():
    (axes,) = figures.sensitivity({"fc1": ([0, 0.5], [0.9, 0.8])}).axes
    np.testing.assert_allclose(drawn(axes)["fc1"], [[0, 90], [50, 80]])


def test_pictures_share_a_scale():
    figure = figures.pictures({f"{n}": np.full((2, 3), n) for n in range(5)})
    shown = [axes.images[0] for axes in figure.axes if axes.images]
    assert [image.get_array()[0, 0] for image in shown] == [0, 1, 2, 3, 4]
    assert {image.get_clim() for image in shown} == {(0, 4)}
    with pytest.raises(ValueError, match=r"`images\['a'\]` must have two axes.*\(3,\)"):
        figures.pictures({"a": np.ones(3)})


@pytest.mark.parametrize(
    "draw",
    [
        figures.sensitivity,
        figures.pictures,
        figures.spectrum,
        lambda empty: figures.over_time(empty, quantity=""),
        lambda empty: figures.degrees(empty, quantity=""),
    ],
    ids=["sensitivity", "pictures", "spectrum", "over_time", "degrees"],
)
def test_nothing_to_draw(draw):
    with pytest.raises(ValueError, match="has nothing to draw"):
        draw({})


def test_worlds_share_the_color_of_their_network():
    curves = {"dense": ([0, 10], np.array([[0.9, 0.4], [0.9, 0.6]]), [0.9, 0.3])}
    (axes,) = figures.worlds(curves).axes
    real, ideal = axes.lines
    np.testing.assert_allclose(real.get_xydata(), [[0, 90], [10, 50]])
    np.testing.assert_allclose(ideal.get_xydata(), [[0, 90], [10, 30]])
    assert real.get_color() == ideal.get_color()
    assert (real.get_linestyle(), ideal.get_linestyle()) == ("-", "--")
    (band,) = axes.collections
    np.testing.assert_allclose(band.get_datalim(axes.transData).intervaly, [40, 90])
    with pytest.raises(
        ValueError, match=r"`curves\['dense'\]` has 1 steps and 2 errors of the real"
    ):
        figures.worlds({"dense": ([0], *curves["dense"][1:])})
