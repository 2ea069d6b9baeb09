"""Gradient flow under other masks and in other norms, against a network that is set to them."""

import numpy as np
import pytest
import tensorflow as tf
from networks import LOSS, labeled, mlp

import keras_tickets as kt

X, Y = labeled(40)


@pytest.fixture
def sparse():
    return kt.sparsify(mlp(hidden=(12, 8)), 0.6, distribution="uniform")


def gradients(model):
    """The gradients of plain kernels, by path."""
    plain = kt.strip(model)
    kernels = {p: v.value for p, v in kt.weight_paths(plain).items() if p in model.masks}
    with tf.GradientTape() as tape:
        loss = LOSS(Y, plain(X, training=False))
    found = tape.gradient(loss, list(kernels.values()))
    return {path: g.numpy() for path, g in zip(kernels, found, strict=True)}


def test_both_norms_count_live_weights_only(sparse):
    by_hand = gradients(sparse)
    for order, norm in ((1, lambda g: abs(g).sum()), (2, lambda g: np.sqrt((g**2).sum()))):
        flow = kt.analysis.gradient_flow(sparse, X, Y, LOSS, training=False, order=order)
        expected = {path: norm(by_hand[path][mask]) for path, mask in sparse.masks.items()}
        assert flow == pytest.approx(expected, rel=1e-4)
        mean = kt.analysis.effective_gradient_flow(sparse, X, Y, LOSS, training=False, order=order)
        assert mean == pytest.approx(np.mean(list(expected.values())), rel=1e-4)


def test_other_masks_are_seen_before_they_are_set(sparse):
    def flow(**arguments):
        return kt.analysis.gradient_flow(sparse, X, Y, LOSS, training=False, **arguments)

    sparse.rest()
    later = kt.analysis.random_masks(sparse, seed=1)
    before, seen = flow(), flow(under=later)
    assert flow() == pytest.approx(before)
    assert before != pytest.approx(seen, rel=0.01)
    kt.set_masks(sparse, later)
    assert flow() == pytest.approx(seen, rel=1e-4)


def test_wrong_arguments(sparse):
    with pytest.raises(ValueError, match=r"`order` must be one of \(1, 2\). Received: order=3"):
        kt.analysis.gradient_flow(sparse, X, Y, LOSS, order=3)
    with pytest.raises(ValueError, match=r"'fc1/kernel' of shape \(2, 2\); in the model: \(10"):
        kt.analysis.gradient_flow(sparse, X, Y, LOSS, under={"fc1/kernel": np.eye(2)})
    with pytest.raises(ValueError, match="'fc9/kernel' of shape .*in the model: none"):
        kt.analysis.gradient_flow(sparse, X, Y, LOSS, under={"fc9/kernel": np.eye(2)})
