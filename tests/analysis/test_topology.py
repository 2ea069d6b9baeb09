"""Degrees, and masks over time and between seeds."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import LOSS, labeled, mlp

import keras_tickets as kt


def random_masks(seed, density=0.3, shapes=((3, 3, 4, 6), (8, 5))):
    random = np.random.default_rng(seed)
    return {f"k{i}": random.random(shape) < density for i, shape in enumerate(shapes)}


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 1))
def test_degrees_count_weights_one_by_one(seed, density):
    masks = random_masks(seed, density)
    found = kt.analysis.degrees(masks)
    for path, mask in masks.items():
        fan_in, fan_out = [0] * mask.shape[-1], [0] * mask.shape[-2]
        for place in zip(*np.nonzero(mask), strict=True):
            fan_in[place[-1]] += 1
            fan_out[place[-2]] += 1
        assert found[path].fan_in.tolist() == fan_in
        assert found[path].fan_out.tolist() == fan_out


def test_axes_of_a_model_are_known():
    model = keras.Sequential([keras.Input((4, 4, 2)), keras.layers.Conv2DTranspose(5, 2, name="t")])
    sparse = kt.sparsify(model, 0.5)
    found = kt.analysis.degrees(sparse)["t/kernel"]
    assert (len(found.fan_in), len(found.fan_out)) == (5, 2)
    np.testing.assert_array_equal(found.fan_in, sparse.masks["t/kernel"].sum(axis=(0, 1, 3)))


def test_spread_is_1_for_random_masks_and_0_for_constant_fan_in():
    random = np.random.default_rng(0)
    spreads = []
    for _ in range(200):
        flat = np.zeros(60 * 20, bool)
        flat[random.permutation(flat.size)[:300]] = True
        spreads.append(kt.analysis.degrees({"k": flat.reshape(60, 20)})["k"].spread_in ** 2)
    # The mean over units is known, so of n units n - 1 are free.
    assert np.mean(spreads) == pytest.approx(1, abs=0.05)
    constant = np.zeros((10, 4), bool)
    constant[:3] = True
    found = kt.analysis.degrees({"k": constant})["k"]
    assert found.spread_in == 0 and found.spread_out > 2
    assert np.isnan(kt.analysis.degrees({"k": np.ones((2, 2))})["k"].spread_in)


def test_changes_of_degrees():
    before, after = random_masks(0), random_masks(1)
    changes = kt.analysis.degree_change(before, after)
    for path, change in changes.items():
        grown, dropped = after[path] & ~before[path], before[path] & ~after[path]
        axes = tuple(range(grown.ndim - 1))
        expected = grown.sum(axis=axes).astype(int) - dropped.sum(axis=axes)
        np.testing.assert_array_equal(change.fan_in, expected)
    with pytest.raises(ValueError, match="'k1' is missing"):
        kt.analysis.degree_change(before, {"k0": after["k0"]})


def test_history_against_sets_of_positions():
    steps = (0, 10, 20, 40)
    snapshots = {step: random_masks(step, 0.2 + step / 100) for step in reversed(steps)}
    history = kt.analysis.mask_history(snapshots)
    assert history.steps.tolist() == list(steps)
    names = [*snapshots[0], "total"]
    for name in names:
        course = history.total if name == "total" else history.kernels[name]
        chosen = names[:-1] if name == "total" else [name]
        sets = [
            {(p, i) for p in chosen for i in np.flatnonzero(snapshots[step][p])} for step in steps
        ]
        size = sum(snapshots[0][p].size for p in chosen)
        for i, live in enumerate(sets):
            previous = sets[max(i - 1, 0)]
            assert course.density[i] == pytest.approx(len(live) / size)
            assert course.survival[i] == pytest.approx(len(live & sets[0]) / len(sets[0]))
            assert course.kept[i] == pytest.approx(len(live & previous) / len(previous))
            assert course.exploration[i] == pytest.approx(len(set().union(*sets[: i + 1])) / size)


@pytest.mark.slow
def test_exploration_is_that_of_the_optimizer():
    x, y = labeled(32)
    model = kt.sparsify(mlp(), 0.7)
    optimizer = kt.optimizers.SET(
        keras.optimizers.SGD(0.1), update_every=1, end=0.9, track_exploration=True
    )
    model.compile(optimizer, LOSS)
    snapshots = {0: kt.get_masks(model)}

    class Snapshots(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            snapshots[len(snapshots)] = kt.get_masks(model)

    model.fit(x, y, batch_size=8, epochs=2, verbose=0, callbacks=[Snapshots()])
    history = kt.analysis.mask_history(snapshots)
    assert history.total.exploration[-1] == pytest.approx(optimizer.exploration)
    assert history.total.survival[-1] < 1


def test_empty_masks_lose_nothing():
    empty = {"k": np.zeros((2, 2), bool)}
    course = kt.analysis.mask_history({0: empty, 1: empty}).total
    assert course.survival.tolist() == course.kept.tolist() == [1, 1]
    assert course.exploration.tolist() == [0, 0]
    with pytest.raises(ValueError, match="`snapshots` must have one or more"):
        kt.analysis.mask_history({})


def test_pairs_of_seeds():
    networks = {seed: random_masks(seed) for seed in (3, 5, 8)}
    found = kt.analysis.overlaps(networks)
    assert found.names == [3, 5, 8]
    total = kt.analysis.overlap(networks[5], networks[8]).total
    assert found.iou[1, 2] == found.iou[2, 1] == total.iou
    assert found.expected_iou[1, 2] == total.expected_iou
    assert found.mean == pytest.approx((found.iou.sum() - 3) / 6)
    assert found.expected_mean == pytest.approx((found.expected_iou.sum() - 3) / 6)
    with pytest.raises(ValueError, match="`networks` must be two or more. Received: 1"):
        kt.analysis.overlaps({3: networks[3]})


def test_inputs_as_a_picture():
    masks = {"fc1": np.arange(24).reshape(6, 4) % 5 == 0, "fc2": np.ones((4, 2), bool)}
    picture = kt.analysis.input_connections(masks, (2, 3))
    np.testing.assert_array_equal(picture, masks["fc1"].sum(axis=1).reshape(2, 3))
    assert kt.analysis.input_connections(masks, path="fc2").tolist() == [2, 2, 2, 2]
    with pytest.raises(ValueError, match=r"`shape` must have 6 places.*\(5,\)"):
        kt.analysis.input_connections(masks, (5,))
    with pytest.raises(ValueError, match="`path` must be .*'fc3'"):
        kt.analysis.input_connections(masks, path="fc3")
    with pytest.raises(ValueError, match="'mlp' without masks"):
        kt.analysis.input_connections(mlp())


@pytest.mark.parametrize(
    "measure",
    [
        kt.analysis.degrees,
        lambda network: kt.analysis.degree_change(network, network),
        lambda network: kt.analysis.overlap(network, network),
        lambda network: kt.analysis.overlaps({0: network, 1: network}),
        lambda network: kt.analysis.mask_history({0: network}),
        lambda network: kt.analysis.distance(network, network, masks=network),
    ],
)
def test_networks_without_masks_are_refused(measure):
    """Two stripped models would have all in common: nothing."""
    for network in (kt.strip(kt.sparsify(mlp(), 0.5)), {}):
        with pytest.raises(ValueError, match=f"{type(network).__name__}.* without masks"):
            measure(network)


def test_a_model_says_what_axes_mean_beside_masks_that_do_not():
    layers = [keras.Input((4, 4, 3)), keras.layers.Conv2DTranspose(3, 2, name="up")]
    before, after = (kt.sparsify(keras.Sequential(layers), 0.7, seed=seed) for seed in range(2))
    expected = kt.analysis.degree_change(before, after)["up/kernel"]
    for pair in ((before.masks, after), (before, after.masks)):
        change = kt.analysis.degree_change(*pair)["up/kernel"]
        np.testing.assert_array_equal(change.fan_in, expected.fan_in)
        np.testing.assert_array_equal(change.fan_out, expected.fan_out)
