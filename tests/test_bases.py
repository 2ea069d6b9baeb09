"""Bases, masks over coefficients, and training that stays in them."""

import keras
import numpy as np
import pytest
import scipy.fft
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_tickets as kt
from keras_tickets import bases

WEIGHTS = {
    "conv/kernel": np.random.default_rng(0).normal(size=(3, 3, 2, 4)).astype("float32"),
    "fc/kernel": np.random.default_rng(1).normal(size=(10, 6)).astype("float32"),
}
ALL = [bases.Identity(), bases.DCT(), bases.RandomOrthogonal(3), bases.Singular(WEIGHTS)]


def name(basis):
    return type(basis).__name__


@pytest.mark.parametrize("basis", ALL, ids=name)
@pytest.mark.parametrize("path", WEIGHTS)
def test_bases_are_orthonormal_and_invertible(basis, path):
    weights = WEIGHTS[path]
    coefficients = basis.forward(path, weights)
    assert coefficients.shape == weights.shape
    assert np.linalg.norm(coefficients) == pytest.approx(np.linalg.norm(weights))
    np.testing.assert_allclose(basis.inverse(path, coefficients), weights, atol=1e-12)
    other = np.random.default_rng(5).normal(size=weights.shape)
    inner = np.sum(coefficients * basis.forward(path, other))
    assert inner == pytest.approx(np.sum(weights * other))


def test_dct_is_that_of_scipy():
    for path, weights in WEIGHTS.items():
        expected = scipy.fft.dctn(weights.astype("float64"), type=2, norm="ortho")
        np.testing.assert_allclose(bases.DCT().forward(path, weights), expected, atol=1e-12)


def test_random_rotations_differ_by_seed_and_path():
    found = [
        bases.RandomOrthogonal(seed).forward(path, WEIGHTS["fc/kernel"])
        for seed, path in ((0, "a"), (0, "a"), (1, "a"), (0, "b"))
    ]
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.allclose(found[0], found[2]) and not np.allclose(found[0], found[3])


@settings(max_examples=30, deadline=None)
@given(st.floats(0.02, 1.0), st.sampled_from(ALL))
def test_exactly_the_largest_coefficients_stay(density, basis):
    masks = bases.magnitude_masks(WEIGHTS, basis, density)
    kept = np.concatenate([masks[p].ravel() for p in WEIGHTS])
    sizes = np.concatenate([np.abs(basis.forward(p, w)).ravel() for p, w in WEIGHTS.items()])
    assert abs(kept.sum() - density * kept.size) <= 1
    if kept.any() and not kept.all():
        assert sizes[kept].min() >= sizes[~kept].max()
    projected = bases.project(WEIGHTS, masks, basis)
    for path, value in projected.items():
        assert value.dtype == np.float32
        off = basis.forward(path, value)[~masks[path]]
        np.testing.assert_allclose(off, 0, atol=1e-5)
    again = bases.project(projected, masks, basis)
    for path, value in projected.items():
        np.testing.assert_allclose(again[path], value, atol=1e-5)


def test_identity_prunes_as_kt_prune_does():
    model = kt.models.lenet_300_100((6,), classes=3, seed=0)
    weights = {p: v.numpy() for p, v in kt.weight_paths(model).items() if p.endswith("kernel")}
    masks = bases.magnitude_masks(weights, bases.Identity(), 0.2)
    for path, mask in kt.prune(model, "magnitude", 0.8).masks.items():
        np.testing.assert_array_equal(masks[path], mask)


def test_units_of_the_singular_basis_are_the_best_low_rank():
    weights = {"fc/kernel": WEIGHTS["fc/kernel"]}
    u, s, vt = np.linalg.svd(weights["fc/kernel"].astype("float64"), full_matrices=False)
    basis = bases.Singular(weights)
    masks = bases.magnitude_masks(weights, basis, 0.5, units=True)
    assert masks["fc/kernel"].sum() == 30
    expected = u[:, :3] * s[:3] @ vt[:3]
    projected = bases.project(weights, masks, basis)["fc/kernel"]
    np.testing.assert_allclose(projected, expected, atol=1e-5)
    assert np.linalg.matrix_rank(projected, tol=1e-4) == 3


def test_units_of_the_identity_are_whole_and_the_largest():
    masks = bases.magnitude_masks(WEIGHTS, bases.Identity(), 0.5, units=True)
    kept, lost = [], []
    for path, mask in masks.items():
        flat, weights = mask.reshape(-1, mask.shape[-1]), WEIGHTS[path].reshape(-1, mask.shape[-1])
        assert (flat.all(axis=0) == flat.any(axis=0)).all()
        for i, unit in enumerate(flat.any(axis=0)):
            (kept if unit else lost).append(np.sqrt(np.mean(weights[:, i] ** 2)))
    assert min(kept) >= max(lost)
    assert 66 - 18 < sum(mask.sum() for mask in masks.values()) <= 66


def test_levels_lie_within_each_other():
    masks = None
    for level in range(4):
        before = masks
        masks = bases.magnitude_masks(WEIGHTS, bases.DCT(), 0.8**level, within=before)
        assert sum(m.sum() for m in masks.values()) == [132, 106, 85, 68][level]
        assert before is None or all((masks[p] <= before[p]).all() for p in masks)
    with pytest.raises(ValueError, match=r"`density=0.9` keeps 119 coefficients; `within` leaves"):
        bases.magnitude_masks(WEIGHTS, bases.DCT(), 0.9, within=masks)
    with pytest.raises(ValueError, match="1 - density"):
        bases.magnitude_masks(WEIGHTS, bases.DCT(), 0.0)


@pytest.mark.parametrize("basis", [bases.DCT(), bases.RandomOrthogonal(1)], ids=name)
def test_sgd_with_a_constraint_trains_the_coefficients(basis):
    """Against plain NumPy SGD with momentum on the coefficients of a linear model."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 5)).astype("float32"), rng.normal(size=(20, 4)).astype("float32")
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(4, use_bias=False, name="fc")])
    start = {"fc/kernel": model.get_layer("fc").kernel.numpy()}
    masks = bases.magnitude_masks(start, basis, 0.4)
    bases.constrain(model, masks, basis)
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9), "mse", jit_compile=True)
    model.fit(x, y, batch_size=20, epochs=10, shuffle=False, verbose=0)

    mask = masks["fc/kernel"]
    coefficients = np.where(mask, basis.forward("fc/kernel", start["fc/kernel"]), 0)
    velocity = np.zeros_like(coefficients)
    for _ in range(10):
        kernel = basis.inverse("fc/kernel", coefficients)
        gradient = basis.forward("fc/kernel", 2 * x.T @ (x @ kernel - y) / y.size)
        velocity = 0.9 * velocity - 0.05 * np.where(mask, gradient, 0)
        coefficients += velocity
    found = basis.forward("fc/kernel", model.get_layer("fc").kernel.numpy())
    np.testing.assert_allclose(found, coefficients, atol=1e-5)
    assert (
        np.abs(found - np.where(mask, basis.forward("fc/kernel", start["fc/kernel"]), 0)).max()
        > 0.1
    )


def test_sparse_models_can_be_constrained():
    x, y = np.random.default_rng(0).normal(size=(2, 16, 6)).astype("float32")
    model = kt.sparsify(kt.models.lenet_300_100((6,), classes=6, width=0.05), 0.0)
    weights = {path: kt.weight_paths(model)[path].numpy() for path in model.masks}
    masks = bases.magnitude_masks(weights, bases.DCT(), 0.3)
    bases.constrain(model, masks, bases.DCT())
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse")
    model.fit(x, y, epochs=3, verbose=0)
    for path, mask in masks.items():
        coefficients = bases.DCT().forward(path, kt.weight_paths(model)[path].numpy())
        np.testing.assert_allclose(coefficients[~mask], 0, atol=1e-5)
        assert not np.allclose(kt.weight_paths(model)[path].numpy(), weights[path])


def test_masks_that_do_not_fit_are_refused():
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(4, name="fc")])
    for path, message in (("fc/kernel", r"in the model: \(5, 4\)"), ("q", "in the model: no")):
        with pytest.raises(ValueError, match=message):
            bases.constrain(model, {path: np.ones((2, 2))}, bases.DCT())
    assert model.get_layer("fc").kernel.constraint is None
