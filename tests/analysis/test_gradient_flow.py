"""Gradient flow under other masks and in other norms, against a network that is set to them."""

import keras
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


def test_an_update_of_the_masks_is_seen_before_it_is_made(sparse):
    """RigL grows where gradients are largest, so flow rises; what is seen ahead is what comes."""
    optimizer = kt.optimizers.RigL(
        keras.optimizers.SGD(0.0),
        update_every=1,
        end=0.99,
        drop_fraction=0.3,
        skip_gradient_step=False,
    )
    sparse.compile(optimizer, LOSS)
    before = kt.analysis.gradient_flow(sparse, X, Y, LOSS, training=False)
    copy = kt.Ticket.of(sparse)
    sparse.fit(X, Y, batch_size=len(X), epochs=2, shuffle=False, verbose=0)
    after = sparse.masks
    assert kt.analysis.overlap(copy, sparse).total.share < 1
    made = kt.analysis.gradient_flow(sparse, X, Y, LOSS, training=False)
    copy.apply(sparse)
    seen = kt.analysis.gradient_flow(sparse, X, Y, LOSS, training=False, under=after)
    assert seen == pytest.approx(made, rel=1e-3)
    assert kt.analysis.gradient_flow(sparse, X, Y, LOSS, training=False) == pytest.approx(before)
    assert sum(made.values()) > sum(before.values())


def test_wrong_arguments(sparse):
    with pytest.raises(ValueError, match=r"`order` must be one of \(1, 2\). Received: order=3"):
        kt.analysis.gradient_flow(sparse, X, Y, LOSS, order=3)
    with pytest.raises(ValueError, match=r"'fc1/kernel' of shape \(2, 2\); in the model: \(10"):
        kt.analysis.gradient_flow(sparse, X, Y, LOSS, under={"fc1/kernel": np.eye(2)})
    with pytest.raises(ValueError, match="'fc9/kernel' of shape .*in the model: none"):
        kt.analysis.gradient_flow(sparse, X, Y, LOSS, under={"fc9/kernel": np.eye(2)})
