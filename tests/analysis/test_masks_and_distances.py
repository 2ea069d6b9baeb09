"""Distances, overlap, random masks, disagreement and gradient flow, against plain NumPy."""

import itertools
import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import mlp

import keras_tickets as kt

X = np.random.default_rng(0).normal(size=(40, 6)).astype("float32")
Y = np.random.default_rng(1).integers(0, 3, 40)


def model(seed=0, sparsity=0.5, **kwargs):
    dense = mlp(6, (8,), norm=keras.layers.BatchNormalization, seed=seed, **kwargs)
    return kt.sparsify(dense, sparsity, seed=0)


def arrays(seed, **shapes):
    rng = np.random.default_rng(seed)
    return {path: rng.normal(size=shape).astype("float32") for path, shape in shapes.items()}


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.1, 1.0))
def test_distance_is_that_of_the_masked_vectors(seed, density):
    a, b = arrays(seed, k=(4, 5), q=(3,)), arrays(seed + 1, k=(4, 5), q=(3,))
    rng = np.random.default_rng(seed)
    masks = {"k": rng.random((4, 5)) < density, "q": np.array([1, 0, 1])}
    u, v = (np.concatenate([(w[p] * masks[p]).ravel() for p in masks]) for w in (a, b))
    found = kt.analysis.distance(a, b, masks)
    assert found.l2 == pytest.approx(math.sqrt(sum((u - v) ** 2)), rel=1e-6)
    cosine = u @ v / math.sqrt(u @ u) / math.sqrt(v @ v)
    assert found.angle == pytest.approx(math.degrees(math.acos(np.clip(cosine, -1, 1))), abs=0.02)
    assert found == kt.analysis.distance(b, a, masks)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.01, 100))
def test_equal_networks_are_at_zero_and_scaled_ones_at_angle_zero(seed, factor):
    a = arrays(seed, k=(30, 7))
    masks = {"k": np.ones((30, 7))}
    same = kt.analysis.distance(a, {"k": a["k"].copy()}, masks)
    assert same.l2 == 0 and same.angle == 0
    scaled = {"k": a["k"].astype("float64") * factor}
    assert kt.analysis.distance(a, scaled, masks).angle == pytest.approx(0, abs=1e-10)
    opposite = kt.analysis.distance(a, {"k": -scaled["k"]}, masks)
    assert opposite.angle == pytest.approx(180)


def test_small_angles_are_exact():
    angle = 1e-9
    a, b = {"k": np.array([1.0, 0.0])}, {"k": np.array([math.cos(angle), math.sin(angle)])}
    found = kt.analysis.distance(a, b, {"k": np.ones(2)})
    assert found.angle == pytest.approx(math.degrees(angle), rel=1e-6)


def test_a_network_of_zeros_has_no_angle():
    found = kt.analysis.distance({"k": np.zeros(2)}, {"k": np.ones(2)}, {"k": np.ones(2)})
    assert found.l2 == pytest.approx(math.sqrt(2)) and math.isnan(found.angle)


def test_models_tickets_and_arrays_are_the_same_network():
    a, b = model(0), model(1)
    a.get_layer("norm1").gamma.assign(np.full(8, 5.0))
    kinds = [(n, kt.Ticket.of(n), dict(kt.Ticket.of(n).weights)) for n in (a, b)]
    found = {kt.analysis.distance(x, y, a) for x, y in itertools.product(*kinds)}
    assert len(found) == 1
    assert found == {kt.analysis.distance(a, b)}


def test_raw_kernels_off_the_masks_do_not_count():
    a = model()
    before = kt.Ticket.of(a)
    kernel = a.get_layer("fc1").layer.kernel
    kernel.assign(np.where(a.masks["fc1/kernel"], kernel.numpy(), 7.0))
    found = kt.analysis.distance(before, a)
    assert found.l2 == 0 and found.angle == 0


def test_distance_travelled():
    states = [{"k": np.array(p, "float32")} for p in ([0, 0], [3, 4], [3, 0])]
    travel = kt.analysis.distance_travelled(states, {"k": np.ones(2)})
    assert travel.path == pytest.approx(9) and travel.straight.l2 == pytest.approx(3)
    with pytest.raises(ValueError, match="`states` must be two or more. Received: 1"):
        kt.analysis.distance_travelled(states[:1], {"k": np.ones(2)})


def test_wrong_networks():
    a = arrays(0, k=(2, 3))
    with pytest.raises(ValueError, match="None of the networks has masks"):
        kt.analysis.distance(a, a)
    with pytest.raises(ValueError, match="different masks, first for kernel 'fc1/kernel'"):
        kt.analysis.distance(model(sparsity=0.5), model(sparsity=0.25))
    with pytest.raises(ValueError, match="no kernel 'q'"):
        kt.analysis.distance(a, a, {"q": np.ones(3)})
    with pytest.raises(ValueError, match=r"'k' has shape \(2, 3\); its mask has \(3,\)"):
        kt.analysis.distance(a, a, {"k": np.ones(3)})
    with pytest.raises(TypeError, match="must be a keras.Model, a kt.Ticket or a dict"):
        kt.analysis.distance("a.ticket", a, {"k": np.ones((2, 3))})


masks = st.lists(st.booleans(), min_size=12, max_size=12).map(
    lambda bits: {"k": np.array(bits[:8]).reshape(2, 4), "q": np.array(bits[8:])}
)


@settings(max_examples=50, deadline=None)
@given(masks, masks)
def test_overlap_counts_as_sets_do(a, b):
    found = kt.analysis.overlap(a, b)
    sets = [{(p, i) for p in m for i in np.flatnonzero(m[p])} for m in (a, b)]
    both, either = sets[0] & sets[1], sets[0] | sets[1]
    assert (found.total.both, found.total.union) == (len(both), len(either))
    assert (found.total.a, found.total.b, found.total.size) == (*map(len, sets), 12)
    assert found.total.iou == (len(both) / len(either) if either else 1)
    assert found.total.share == (len(both) / len(sets[0]) if sets[0] else 1)
    assert [row.path for row in found.rows] == ["k", "q"]
    assert sum(row.both for row in found.rows) == len(both)
    assert all(row.path in str(found) for row in (*found.rows, found.total))


def test_expected_overlap_is_the_mean_over_all_masks_of_the_same_counts():
    def every(size, count):
        for chosen in itertools.combinations(range(size), count):
            yield {"k": np.isin(np.arange(size), chosen)}

    pairs = itertools.product(every(5, 2), every(5, 3))
    found = [kt.analysis.overlap(a, b).total for a, b in pairs]
    assert len(found) == 100
    assert np.mean([row.both for row in found]) == pytest.approx(found[0].expected_both)
    assert np.mean([row.share for row in found]) == pytest.approx(found[0].expected_share)


def test_overlap_needs_the_same_kernels():
    with pytest.raises(ValueError, match="'q' is missing in the first"):
        kt.analysis.overlap({"k": np.ones(2)}, {"k": np.ones(2), "q": np.ones(1)})
    with pytest.raises(ValueError, match=r"'k' has shape \(2,\) in the first network and \(3,\)"):
        kt.analysis.overlap({"k": np.ones(2)}, {"k": np.ones(3)})


def test_random_masks_have_the_counts_and_are_random():
    ticket = model()
    drawn = [kt.analysis.random_masks(ticket, seed) for seed in range(200)]
    for path, mask in ticket.masks.items():
        assert {each[path].sum() for each in drawn} == {mask.sum()}
        often = np.mean([each[path] for each in drawn], axis=0)
        assert abs(often - mask.mean()).max() < 0.2
    again = kt.analysis.random_masks(kt.Ticket.of(ticket), 3)
    assert all((again[path] == drawn[3][path]).all() for path in again)


def test_disagreement_counts_different_classes():
    a, b = model(0), model(1)
    expected = np.mean(
        np.argmax(a.predict(X, verbose=0), 1) != np.argmax(b.predict(X, verbose=0), 1)
    )
    assert 0 < expected < 1
    dataset = tf.data.Dataset.from_tensor_slices((X, Y)).batch(16)
    for data in (X, (X, Y), dataset):
        assert kt.analysis.disagreement(a, b, data, batch_size=7) == pytest.approx(expected)
    assert kt.analysis.disagreement(a, a, X) == 0
    with pytest.raises(ValueError, match="has no examples"):
        kt.analysis.disagreement(a, b, [])
    single = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
    with pytest.raises(ValueError, match=r"two classes or more. Received: \(40, 1\) and"):
        kt.analysis.disagreement(single, single, X)
    with pytest.raises(ValueError, match="same length. Received: 40, 3"):
        kt.analysis.disagreement(a, b, (X, Y[:3]))
    with pytest.raises(TypeError, match="an object of class str"):
        kt.analysis.disagreement(a, b, "digits")


def test_gradient_flow_is_the_norm_of_finite_differences():
    network = model(activation="tanh")
    before = [v.numpy() for v in network.variables]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    flow = kt.analysis.gradient_flow(network, X, Y, loss, training=False)
    for after, value in zip(network.variables, before, strict=True):
        np.testing.assert_array_equal(after, value)
    assert list(flow) == list(network.masks)
    for path, mask in network.masks.items():
        kernel, squares = kt.weight_paths(network)[path], 0.0
        start = kernel.numpy()
        for index in np.argwhere(mask):
            values = []
            for shift in (-1e-2, 1e-2):
                moved = start.copy()
                moved[tuple(index)] += shift
                kernel.assign(moved)
                values.append(float(loss(Y, network(X, training=False))))
            squares += ((values[1] - values[0]) / 2e-2) ** 2
        kernel.assign(start)
        assert flow[path] == pytest.approx(math.sqrt(squares), rel=5e-3)


def test_gradient_flow_in_training_mode_changes_nothing_and_differs():
    network = model()
    before = [v.numpy() for v in network.variables]
    training = kt.analysis.gradient_flow(network, X, Y, "sparse_categorical_crossentropy")
    for after, value in zip(network.variables, before, strict=True):
        np.testing.assert_array_equal(after, value)
    loss = "sparse_categorical_crossentropy"
    assert training != kt.analysis.gradient_flow(network, X, Y, loss, training=False)
    with pytest.raises(ValueError, match="has no masked kernels"):
        kt.analysis.gradient_flow(kt.strip(network), X, Y, loss)


def test_kernels_that_are_stored_sparsely_are_compared_whole():
    layers = [keras.Input((8,)), kt.layers.SparseDense(6, 0.5, name="fc")]
    model = keras.Sequential(layers)
    plain, masks = kt.strip(model), kt.get_masks(model)
    for variable in plain.trainable_variables:
        variable.assign(variable * 3)
    expected = 2 * np.linalg.norm(kt.Ticket.of(model).weights["fc/kernel"])
    assert kt.analysis.distance(model, plain, masks).l2 == pytest.approx(expected, rel=1e-6)
    with pytest.raises(ValueError, match="stored sparsely"):
        kt.analysis.connectivity(model, plain, (np.ones((2, 8)), np.zeros(2)))
