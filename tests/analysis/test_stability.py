"""Stability to pruning and to data order, against runs made by hand."""

import itertools

import keras
import numpy as np
import pytest
from networks import mlp
from slow_cases import slow_unless

import keras_tickets as kt

RNG = np.random.default_rng(0)
X = RNG.normal(size=(48, 6)).astype("float32")
Y = (X @ RNG.normal(size=(6, 3))).astype("float32")


def full(optimizer=None):
    dense = mlp(6, (8,), norm=keras.layers.BatchNormalization, dropout=0.2)
    model = kt.sparsify(dense, 0.0)
    model.compile(optimizer or keras.optimizers.Adam(0.02), "mse")
    return model


MASKS = {"fc1/kernel": np.arange(48).reshape(6, 8) % 2 == 0, "head/kernel": np.ones((8, 3), bool)}


def train(model, order):
    chosen = np.random.default_rng(order).permutation(48)
    model.fit(X[chosen], Y[chosen], batch_size=8, epochs=2, shuffle=False, verbose=0)


def run(masks, order):
    """The weights of a new model, trained step by step without a graph."""
    model = full()
    model.run_eagerly = True
    kt.set_masks(model, masks)
    train(model, order)
    return {path: v.numpy() for path, v in kt.weight_paths(model).items()}


def l2(a, b, masks):
    return np.sqrt(sum(np.sum(((a[p] - b[p]) * masks[p]) ** 2.0) for p in masks))


@pytest.fixture(scope="module")
def measured():
    model = full()
    before = [v.numpy() for v in model.variables]
    result = kt.analysis.stability(
        model, MASKS, train, orders=(4, 5, 6), evaluate=lambda m: m.evaluate(X, Y, verbose=0)
    )
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)
    assert not any(v.numpy().any() for v in model.optimizer.variables if "momentum" in v.path)
    return result


@pytest.mark.parametrize(
    "which", slow_unless(lambda which: which == "random", ["ticket", "random"])
)
def test_distances_are_those_of_runs_by_hand(measured, which):
    masks = MASKS if which == "ticket" else kt.analysis.random_masks(MASKS, seed=0)
    ones = {path: np.ones_like(mask) for path, mask in MASKS.items()}
    whole = [run(ones, order) for order in (4, 5, 6)]
    pruned = [run(masks, order) for order in (4, 5, 6)]
    found = getattr(measured, which)
    assert found.pruning.orders == [(4, 4), (5, 5), (6, 6)]
    by_hand = [l2(a, b, masks) for a, b in zip(whole, pruned, strict=True)]
    np.testing.assert_allclose(found.pruning.l2, by_hand, rtol=1e-6)
    assert found.data_order.orders == [(4, 5), (4, 6), (5, 6)]
    by_hand = [l2(a, b, masks) for a, b in itertools.combinations(pruned, 2)]
    np.testing.assert_allclose(found.data_order.l2, by_hand, rtol=1e-6)
    assert found.data_order.angle.shape == (3,) and (found.data_order.angle > 0).all()


def test_scores_and_spread(measured):
    assert measured.full_scores.shape == measured.random.scores.shape == (3,)
    assert len({*measured.full_scores, *measured.ticket.scores}) == 6
    values = measured.ticket.pruning.l2
    summary = measured.ticket.pruning.summary()["l2"]
    assert summary["mean"] == pytest.approx(sum(values) / 3)
    variance = sum((value - summary["mean"]) ** 2 for value in values) / 2
    assert summary["std"] == pytest.approx(variance**0.5)
    assert (summary["min"], summary["max"]) == (min(values), max(values))
    ratio = np.mean(measured.random.data_order.angle) / np.mean(measured.ticket.data_order.angle)
    assert measured.ratios["data_order"]["angle"] == pytest.approx(ratio)


def test_a_network_pruned_of_nothing_is_perfectly_stable_to_pruning():
    ones = {path: np.ones_like(mask) for path, mask in MASKS.items()}
    found = kt.analysis.stability(full(), ones, train, orders=2, compare_random=False)
    assert not found.ticket.pruning.l2.any() and not found.ticket.pruning.angle.any()
    assert found.random is None and found.ratios == {}


def test_training_that_ignores_the_order_is_perfectly_stable_to_it():
    orders = []

    def train_alike(model, order):
        orders.append(order)
        train(model, 0)

    found = kt.analysis.stability(full(), MASKS, train_alike, kinds="data_order", orders=2)
    assert orders == [0, 1, 0, 1], "the full network is trained although nobody asks for it"
    for each in (found.ticket, found.random):
        assert not each.data_order.l2.any() and each.pruning is None


def test_a_ticket_serves_as_masks_and_a_failure_leaves_the_model_as_it_was():
    model = full()
    pruned = full()
    kt.set_masks(pruned, MASKS)
    before = [v.numpy() for v in model.variables]

    def fail(model, order):
        train(model, order)
        assert not np.array_equal(model.masks["fc1/kernel"], MASKS["fc1/kernel"])
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        kt.analysis.stability(model, kt.Ticket.of(pruned), fail, orders=2)
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_wrong_arguments():
    model, nothing = full(), lambda model, order: None
    for change, message in (
        ({"orders": 1}, "`orders` must be 2 or more different integers.*orders=1"),
        ({"orders": 2.5}, "`orders` must be a positive integer.*orders=2.5"),
        ({"orders": [3, 3]}, r"orders=\[3, 3\]"),
        ({"kinds": ["order"]}, r"`kinds` must be among .*Received: kinds=\['order'\]"),
        ({"masks": {"k": np.ones(2)}}, "names 'k', which is not a masked kernel"),
        ({"masks": {"fc1/kernel": np.ones(2)}}, r"shape \(2,\), not \(6, 8\)"),
    ):
        with pytest.raises(ValueError, match=message):
            kt.analysis.stability(model, **{"masks": MASKS, "train": nothing, **change})
    kt.set_masks(model, MASKS)
    ones = {"fc1/kernel": np.ones((6, 8))}
    with pytest.raises(ValueError, match="'fc1/kernel' has weights that `model` has not"):
        kt.analysis.stability(model, ones, nothing)
    with pytest.raises(TypeError, match="`model` must be a kt.SparseModel. Received: Sequential"):
        kt.analysis.stability(keras.Sequential(), MASKS, nothing)
