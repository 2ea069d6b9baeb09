"""Lanczos and Hutchinson, against dense eigenvalues."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_tickets as kt


def matrix(size, seed):
    values = np.random.default_rng(seed).normal(size=(size, size))
    return (values + values.T) / 2


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 24), st.integers(0, 1000))
def test_all_eigenvalues_of_a_small_matrix(size, seed):
    symmetric = matrix(size, seed)
    found = kt.analysis.lanczos(symmetric.dot, size, steps=size + 3, seed=seed)
    np.testing.assert_allclose(found.values, np.linalg.eigvalsh(symmetric)[::-1], atol=1e-8)
    assert found.weights.sum() == pytest.approx(1)
    mean = np.mean(found.weights @ found.values)
    start = np.random.default_rng(seed).normal(size=size)
    assert mean == pytest.approx(start @ symmetric @ start / (start @ start))


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 12), st.integers(0, 1000))
def test_an_eigenvalue_lies_within_each_error(steps, seed):
    symmetric = matrix(30, seed)
    found = kt.analysis.lanczos(symmetric.dot, 30, steps, seed=seed)
    distances = np.abs(found.values[:, None] - np.linalg.eigvalsh(symmetric)).min(axis=1)
    assert (distances <= found.errors + 1e-9).all()


def test_extremes_converge_long_before_the_rest():
    values = np.concatenate([[100.0, 50.0], np.linspace(-1, 1, 498), [-20.0]])
    found = kt.analysis.lanczos(lambda v: values * v, 501, steps=25)
    np.testing.assert_allclose(found.values[[0, 1, -1]], [100, 50, -20], rtol=1e-9)
    assert found.errors[[0, 1, -1]].max() < 1e-6 < found.errors[10]


@pytest.mark.parametrize("rank", [0, 1, 3])
def test_low_rank_ends_early_and_exactly(rank):
    values = np.zeros(50)
    values[:rank] = np.arange(rank) + 1.0
    found = kt.analysis.lanczos(lambda v: values * v, 50, steps=40)
    assert len(found.values) == rank + 1
    np.testing.assert_allclose(found.values, [*range(rank, 0, -1), 0], atol=1e-12)
    assert found.errors.max() < 1e-12


def test_errors_cover_products_that_are_rounded():
    symmetric = matrix(60, 2)

    def rounded(vector):
        return (symmetric @ vector).astype(np.float16)

    found = kt.analysis.lanczos(rounded, 60, steps=60)
    distances = np.abs(found.values[:, None] - np.linalg.eigvalsh(symmetric)).min(axis=1)
    assert 1e-4 < found.errors[0] < 0.1
    assert (distances <= found.errors).all()


def test_density_counts_eigenvalues():
    values = np.repeat([-1.0, 0.0, 2.0], [100, 600, 300])
    points = np.linspace(-3, 4, 1401)
    runs = [kt.analysis.lanczos(lambda v: values * v, 1000, 20, seed=seed) for seed in range(20)]
    density = np.mean([run.density(points, 0.1) for run in runs], axis=0)
    assert np.trapezoid(density, points) == pytest.approx(1, abs=1e-6)
    shares = [np.trapezoid(density[abs(points - v) < 0.4], dx=0.005) for v in (-1, 0, 2)]
    np.testing.assert_allclose(shares, [0.1, 0.6, 0.3], atol=0.02)


def test_traces_are_within_their_errors_as_often_as_they_should():
    symmetric = matrix(40, 1)
    estimates = [kt.analysis.hutchinson(symmetric.dot, 40, 10, seed=s) for s in range(200)]
    distances = np.array([abs(e.value - np.trace(symmetric)) / e.error for e in estimates])
    assert 0.55 < np.mean(distances < 1) < 0.75
    assert np.mean(distances < 3) > 0.95


def test_wrong_arguments():
    for arguments, message in (
        ({"size": 0, "steps": 1}, "`size` must be"),
        ({"size": 1, "steps": 0}, "`steps` must be"),
        ({"size": 1, "steps": 1, "seed": -1}, "`seed` must be"),
    ):
        with pytest.raises(ValueError, match=message):
            kt.analysis.lanczos(np.asarray, **arguments)
    with pytest.raises(ValueError, match="`probes` must be"):
        kt.analysis.hutchinson(np.asarray, 3, probes=1)
    with pytest.raises(ValueError, match="not finite"):
        kt.analysis.lanczos(lambda v: v * np.nan, 3, 2)
    with pytest.raises(ValueError, match="`width` must be"):
        kt.analysis.lanczos(np.asarray, 3, 2).density(np.zeros(2), width=0)
