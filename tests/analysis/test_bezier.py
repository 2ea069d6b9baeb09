"""Bézier curves between networks, against NumPy and landscapes whose paths are known."""

import functools
import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from networks import LOSS, labeled, mlp

import keras_tickets as kt

X, Y = labeled(60, inputs=6)
CIRCLE = np.linspace(0, 1, 101)[:, None]


def sparse(seed, **layers):
    model = kt.sparsify(mlp(6, (8,), seed=seed, **layers), 0.5, seed=seed)
    model.compile(keras.optimizers.Adam(0.05), LOSS)
    return model


def weights(model):
    return {path: v.numpy() for path, v in kt.weight_paths(model).items()}


def bernstein(points, t):
    n = len(points) - 1
    return sum(math.comb(n, i) * t**i * (1 - t) ** (n - i) * p for i, p in enumerate(points))


@pytest.mark.parametrize("degree", [1, 2, 3, 5])
def test_points_are_bernstein_sums(degree):
    values = np.random.default_rng(degree).normal(size=(degree + 1, 3, 2)).astype("float32")
    points = [{"w": v, "count": np.array([i])} for i, v in enumerate(values)]
    curve = kt.analysis.BezierCurve(points, {})
    for t in (0.0, 0.3, 0.5, 1.0):
        found = curve.at(t)
        np.testing.assert_allclose(found["w"], bernstein(values, t), rtol=1e-6, atol=1e-7)
        assert found["w"].dtype == np.float32 and found["count"] == 0
    np.testing.assert_array_equal(curve.at(0)["w"], values[0])
    np.testing.assert_array_equal(curve.at(1)["w"], values[-1])
    with pytest.raises(ValueError, match=r"`t` must be a number in \[0, 1\]. Received: t=2"):
        curve.at(2)


def plane(*kernel):
    """A network of two weights, which are its outputs for the input 1."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2, use_bias=False, name="w")])
    model.set_weights([np.array([kernel])])
    return model


def ring(y, outputs):
    """0 on the unit circle, and 1 at the origin."""
    return (keras.ops.sum(outputs**2, axis=-1) - 1) ** 2


def test_a_curve_goes_around_the_barrier_of_a_ring():
    a, b, data = plane(1.0, 0.0), plane(0.0, 1.0), (np.ones((4, 1)), np.zeros(4, int))
    optimizer = keras.optimizers.SGD(0.3, momentum=0.9)
    curve = kt.analysis.bezier_curve(a, b, data, steps=300, loss=ring, optimizer=optimizer)
    lines = [
        kt.analysis.connectivity(a, b, data, curve=each, points=21, loss=ring)
        for each in (None, curve)
    ]
    assert lines[0].loss_barriers["data"] == pytest.approx(0.25)
    assert lines[1].loss_barriers["data"] < 0.01
    np.testing.assert_array_equal(lines[1].losses["data"][[0, -1]], 0)

    def mean_loss(s):
        points = bernstein([np.array([1, 0]), np.array([s, s]), np.array([0, 1])], CIRCLE)
        return np.mean((np.sum(points**2, axis=1) - 1) ** 2)

    best = min(np.linspace(0.5, 1.5, 1001), key=mean_loss)
    np.testing.assert_allclose(curve.points[1]["w/kernel"], [[best, best]], atol=0.02)
    assert curve.losses.shape == (300,) and curve.losses[-50:].mean() < 0.01


@pytest.mark.parametrize("degree", [2, 3])
def test_a_step_follows_the_gradient_at_the_point_of_the_curve(degree):
    def model(seed):
        dense = keras.Sequential(
            [keras.Input((6,)), keras.layers.Dense(3, use_bias=False, name="w")]
        )
        return kt.sparsify(dense, 0.6, seed=seed)

    a, b = model(0), model(1)
    targets = np.eye(3, dtype="float32")[Y]
    curve = kt.analysis.bezier_curve(
        a,
        b,
        [(X, targets)],
        steps=1,
        degree=degree,
        loss="mse",
        optimizer=keras.optimizers.SGD(0.5),
        seed=7,
    )
    t = float(tf.random.stateless_uniform([], tf.constant([7, 0], tf.int64)))
    ends = [weights(kt.strip(each))["w/kernel"].astype(float) for each in (a, b)]
    before = [ends[0] + i / degree * (ends[1] - ends[0]) for i in range(degree + 1)]
    point = bernstein(before, t)
    residual = X @ point - targets
    gradient = 2 * X.T @ residual / residual.size * (a.masks["w/kernel"] | b.masks["w/kernel"])
    assert curve.losses == pytest.approx([np.mean(residual**2)], rel=1e-5)
    for i in range(1, degree):
        share = math.comb(degree, i) * t**i * (1 - t) ** (degree - i)
        expected = before[i] - 0.5 * share * gradient
        np.testing.assert_allclose(curve.points[i]["w/kernel"], expected, rtol=1e-4, atol=1e-6)


@pytest.fixture(scope="module")
def pair():
    norm = functools.partial(keras.layers.BatchNormalization, momentum=0.9)
    found = [sparse(seed, norm=norm, dropout=0.2) for seed in range(2)]
    for model in found:
        model.fit(X, Y, epochs=3, shuffle=False, verbose=0)
    return found


@pytest.mark.parametrize("space", ["union", "dense"])
def test_the_curve_stays_in_its_space_between_exactly_these_networks(space, pair):
    a, b = pair
    before = [[np.asarray(v) for v in model.variables] for model in pair]
    traces = []

    def loss(y, outputs):
        traces.append(1)
        return LOSS(y, outputs)

    curve = kt.analysis.bezier_curve(
        a, kt.Ticket.of(b), (X, Y), steps=12, batch_size=16, space=space, loss=loss
    )
    assert len(traces) == 1
    for model, values in zip(pair, before, strict=True):
        for variable, value in zip(model.variables, values, strict=True):
            np.testing.assert_array_equal(variable, value)
    for end, model in ((curve.points[0], a), (curve.points[-1], b)):
        for path, value in weights(kt.strip(model)).items():
            np.testing.assert_array_equal(end[path], value)
    inside = curve.at(0.4)
    for path, mask in a.masks.items():
        union = mask | b.masks[path]
        np.testing.assert_array_equal(curve.masks[path], union | (space == "dense"))
        assert np.any(inside[path][~union]) == (space == "dense")
        straight = (curve.points[0][path] + curve.points[-1][path]) / 2
        assert np.any(curve.points[1][path] != straight)
    middle = [curve.points[i]["norm1/moving_mean"] for i in range(3)]
    np.testing.assert_allclose(middle[1], (middle[0] + middle[2]) / 2, rtol=1e-5, atol=1e-6)


def test_one_mask_for_both_is_the_space_of_the_curve():
    a, b = sparse(0), sparse(0)
    b.set_weights([2 * v for v in b.get_weights()[:4]])
    curve = kt.analysis.bezier_curve(a, b, (X, Y), steps=5)
    for path, mask in a.masks.items():
        np.testing.assert_array_equal(curve.masks[path], mask)
        assert not np.any(curve.points[1][path][~mask])


def test_connectivity_evaluates_the_networks_of_the_curve(pair):
    a, b = pair
    curve = kt.analysis.bezier_curve(a, b, (X, Y), steps=10, space="dense")
    found = kt.analysis.connectivity(a, b, (X, Y), curve=curve, points=4)
    plain = kt.strip(a)
    for alpha, error, loss in zip(
        found.alphas, found.errors["data"], found.losses["data"], strict=True
    ):
        at = curve.at(alpha)
        for path, variable in kt.weight_paths(plain).items():
            variable.assign(at[path])
        outputs = plain(X, training=False)
        assert error == pytest.approx(np.mean(np.argmax(outputs, axis=1) != Y))
        assert loss == pytest.approx(float(LOSS(Y, outputs)), rel=1e-4)


def test_the_same_seed_gives_the_same_curve(pair):
    curves = [
        kt.analysis.bezier_curve(*pair, (X, Y), steps=4, batch_size=16, seed=seed)
        for seed in (3, 3, 4)
    ]
    np.testing.assert_array_equal(curves[0].losses, curves[1].losses)
    np.testing.assert_array_equal(*(c.points[1]["fc1/kernel"] for c in curves[:2]))
    assert np.any(curves[0].losses != curves[2].losses)


def test_wrong_arguments(pair):
    def check(error, message, data=(X, Y), b=pair[1], **kwargs):
        with pytest.raises(error, match=message):
            kt.analysis.bezier_curve(pair[0], b, data, **{"steps": 2, **kwargs})

    check(ValueError, "`steps` must be a positive integer. Received: steps=0", steps=0)
    check(ValueError, "`degree` must be an integer of at least 2", degree=1)
    rigl = kt.optimizers.RigL("adam", end=10)
    check(ValueError, "`optimizer` must be a Keras optimizer.*RigL", optimizer=rigl)
    check(ValueError, "`space` must be one of .*'sparse'", space="sparse")
    check(ValueError, "`train_data` has no batches", data=[])
    check(ValueError, "`train_data` must have targets", data=[X])
    check(TypeError, "an object of class int", data=3)
    check(ValueError, r"'fc1/kernel' has shape \(6, 8\) .* second: none", b={})
    check(ValueError, "NaN or infinite at step 1", optimizer=keras.optimizers.SGD(np.inf))
    curve = kt.analysis.bezier_curve(*pair, (X, Y), steps=1)
    with pytest.raises(ValueError, match="weight 'fc1/kernel' of the first network is another"):
        kt.analysis.connectivity(*pair[::-1], (X, Y), curve=curve)


def test_dropout_is_drawn_anew_in_each_step():
    model, still = sparse(0, dropout=0.5), keras.optimizers.SGD(0.0)
    curve = kt.analysis.bezier_curve(model, model, [(X, Y)], steps=3, optimizer=still)
    assert len(set(curve.losses)) == 3  # The curve is a single network, and the batch one.
