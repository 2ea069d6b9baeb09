"""The first positions of sparse kernels."""

import keras
import numpy as np
import pytest

import keras_tickets as kt
from keras_tickets._sparse_storage import positions
from keras_tickets._sparse_storage.positions import draw_positions


@pytest.mark.parametrize("sparsity", [0.1, 0.5, 0.95, 0.999])
def test_positions_are_those_of_the_random_mask(sparsity, monkeypatch):
    monkeypatch.setattr(positions, "_BLOCK", 500)
    model = keras.Sequential([keras.Input((30,)), keras.layers.Dense(40, name="fc")])
    mask = kt.sparsify(model, sparsity, mask="random", seed=3).masks["fc/kernel"]
    drawn = draw_positions((30, 40), int(mask.sum()), "fc/kernel", seed=3)
    np.testing.assert_array_equal(drawn, np.flatnonzero(mask))


def test_all_positions():
    np.testing.assert_array_equal(draw_positions((3, 4), 12, "fc/kernel", 0), np.arange(12))


def test_positions_of_large_kernels_are_uniform(monkeypatch):
    monkeypatch.setattr(positions, "LARGEST_DENSE", 10_000)
    drawn = draw_positions((300, 50), 2000, "fc/kernel", seed=0)
    assert (np.diff(drawn) > 0).all() and 0 <= drawn[0] and drawn[-1] < 15_000
    for counts, expected in (
        (np.bincount(drawn // 50, minlength=300), 2000 / 300),
        (np.bincount(drawn % 50, minlength=50), 40),
    ):
        # Four standard deviations of chi squared.
        chi = ((counts - expected) ** 2 / expected).sum()
        assert abs(chi - counts.size) < 4 * np.sqrt(2 * counts.size)
    assert not np.array_equal(drawn, draw_positions((300, 50), 2000, "fc/kernel", seed=1))


def test_what_is_too_large_is_not_formed(monkeypatch):
    monkeypatch.setattr(positions, "LARGEST_DENSE", 10)
    with pytest.raises(ValueError, match="none of more than 10 is formed as a whole"):
        positions.mask_of(np.array([1]), (3, 4))
