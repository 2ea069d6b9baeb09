"""Linear mode connectivity, against models that are really set to the points of the line."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from networks import LOSS, mlp
from slow_cases import slow_unless

import keras_tickets as kt
from keras_tickets.analysis.landscape.connectivity import barrier

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 6)).astype("float32")
Y = (X @ RNG.normal(size=(6, 3))).argmax(axis=1)
TEST = (X[40:], Y[40:])
TRAIN = (X[:40], Y[:40])


def trained(order=0, masks_seed=0, epochs=3, norm=keras.layers.BatchNormalization):
    dense = mlp(6, (8,), norm=functools.partial(norm, momentum=0.9))
    model = kt.sparsify(dense, 0.5, distribution="uniform", seed=masks_seed)
    model.compile(keras.optimizers.Adam(0.05), LOSS)
    chosen = np.random.default_rng(order).permutation(40)
    model.fit(X[chosen], Y[chosen], batch_size=8, epochs=epochs, shuffle=False, verbose=0)
    return model


@pytest.fixture(scope="module")
def pair():
    return trained(0), trained(1)


def weights(model):
    return {path: v.numpy() for path, v in kt.weight_paths(model).items()}


def expected(a, b, alpha, data, change=lambda model: None):
    """Error and loss of a copy of `a` that is set to a point of the line."""
    model = kt.Ticket.of(a).apply(kt.strip(a))
    wa, wb = weights(a), weights(b)
    masks = kt.get_masks(b)
    kt.set_masks(model, {path: mask | masks[path] for path, mask in a.masks.items()})
    for path, variable in kt.weight_paths(model).items():
        variable.assign(wa[path] + np.float32(alpha) * (wb[path] - wa[path]))
    change(model)
    outputs = model(data[0], training=False).numpy()
    return np.mean(outputs.argmax(1) != data[1]), float(LOSS(data[1], outputs))


@pytest.mark.parametrize("masks_seed", slow_unless(lambda seed: seed == 0, [0, 5]))
def test_points_are_those_of_models_set_to_them(masks_seed, pair):
    a, b = pair[0], trained(1, masks_seed)
    before = [[v.numpy() for v in m.variables] for m in (a, b)]
    line = kt.analysis.connectivity(a, b, {"train": TRAIN, "test": TEST}, points=5, batch_size=16)
    np.testing.assert_array_equal(line.alphas, [0, 0.25, 0.5, 0.75, 1])
    assert line.batch_norm == "interpolate"
    for name, data in (("train", TRAIN), ("test", TEST)):
        for i, alpha in enumerate(line.alphas):
            error, loss = expected(a, b, alpha, data)
            assert line.errors[name][i] == pytest.approx(error)
            assert line.losses[name][i] == pytest.approx(loss, rel=1e-4)
        highest, ends = max(line.errors[name]), line.errors[name][[0, -1]]
        assert line.error_barriers[name] == pytest.approx(highest - ends.mean())
    for model, values in zip((a, b), before, strict=True):
        for variable, value in zip(model.variables, values, strict=True):
            np.testing.assert_array_equal(variable, value)


def test_identical_runs_have_barrier_zero():
    a, b = trained(3), trained(3)
    for choice in ("interpolate", "keep", "recompute"):
        line = kt.analysis.connectivity(a, b, TRAIN, batch_norm=choice, train_data=TRAIN)
        assert len(line.alphas) == 30
        assert line.error_barriers == {"data": 0.0} and line.loss_barriers == {"data": 0.0}


def test_statistics_that_are_kept(pair):
    def keep(model):
        for path, variable in kt.weight_paths(model).items():
            if "moving" in path:
                variable.assign(weights(pair[0])[path])

    line = kt.analysis.connectivity(*pair, TEST, points=3, batch_norm="keep")
    for i, alpha in enumerate(line.alphas):
        found = expected(*pair, alpha, TEST, keep)
        assert line.losses["data"][i] == pytest.approx(found[1], rel=1e-4)


@pytest.mark.parametrize(
    "norm",
    slow_unless(
        lambda norm: norm is keras.layers.BatchNormalization,
        [keras.layers.BatchNormalization, kt.layers.FusedBatchNormalization],
    ),
)
def test_statistics_that_are_recomputed(norm):
    pair = trained(0, norm=norm), trained(1, norm=norm)

    def recompute(model):
        hidden = np.maximum(
            X[:40] @ model.get_layer("fc1").layer.kernel.numpy()
            + model.get_layer("fc1").layer.bias.numpy(),
            0,
        )
        parts = [hidden[start : start + 16] for start in range(0, 40, 16)]
        layer = model.get_layer("norm1")
        layer.moving_mean.assign(np.mean([part.mean(axis=0) for part in parts], axis=0))
        layer.moving_variance.assign(np.mean([part.var(axis=0) for part in parts], axis=0))

    line = kt.analysis.connectivity(
        *pair, TEST, points=3, batch_norm="recompute", train_data=TRAIN, batch_size=16
    )
    for i, alpha in enumerate(line.alphas):
        found = expected(*pair, alpha, TEST, recompute)
        assert line.losses["data"][i] == pytest.approx(found[1], rel=1e-3)
    assert line.batch_norm == "recompute"


def test_frozen_statistics_are_not_recomputed(pair):
    a, b = trained(0), pair[1]
    a.get_layer("norm1").trainable = False
    lines = [
        kt.analysis.connectivity(a, b, TEST, points=3, batch_norm=choice, train_data=TRAIN)
        for choice in ("recompute", "keep")
    ]
    np.testing.assert_array_equal(lines[0].losses["data"], lines[1].losses["data"])


def test_data_sets_one_hot_targets_and_tickets_give_the_same(pair):
    a, b = pair
    line = kt.analysis.connectivity(a, b, TEST, points=4)
    dataset = tf.data.Dataset.from_tensor_slices(TEST).batch(7)
    one_hot = (TEST[0], keras.utils.to_categorical(TEST[1], 3))
    categorical = keras.losses.CategoricalCrossentropy(from_logits=True)
    others = [
        kt.analysis.connectivity(a, b, dataset, points=4),
        kt.analysis.connectivity(a, kt.Ticket.of(b), (TEST[0], TEST[1][:, None]), points=4),
        kt.analysis.connectivity(a, weights(b), one_hot, points=4, loss=categorical),
    ]
    for other in others:
        np.testing.assert_array_equal(line.errors["data"], other.errors["data"])
        np.testing.assert_allclose(line.losses["data"], other.losses["data"], rtol=1e-5)


def test_dense_models_without_a_loss(pair):
    a, b = map(kt.strip, pair)
    line = kt.analysis.connectivity(a, b, TEST, points=4)
    reference = kt.analysis.connectivity(*pair, TEST, points=4)
    np.testing.assert_array_equal(line.errors["data"], reference.errors["data"])
    assert line.losses == {} and line.loss_barriers == {}


def test_barrier():
    assert barrier(np.array([0.1, 0.5, 0.3])) == pytest.approx(0.3)
    assert barrier(np.array([0.2, 0.1, 0.2])) == 0


def test_wrong_arguments(pair):
    def check(error, message, b=pair[1], data=TEST, a=pair[0], **kwargs):
        with pytest.raises(error, match=message):
            kt.analysis.connectivity(a, b, data, **kwargs)

    check(ValueError, "`points` must be an integer of at least 2. Received: points=1", points=1)
    check(ValueError, "`points` must be an integer of at least 2", points=2.5)
    check(ValueError, r"`batch_norm` must be one of .*'freeze'", batch_norm="freeze")
    check(ValueError, '"recompute"` needs `train_data`', batch_norm="recompute")
    check(ValueError, "`train_data` has no", batch_norm="recompute", train_data=[])
    check(ValueError, "Data 'data' has no examples", data=[])
    check(TypeError, "an object of class int", data=3)
    other = {**weights(pair[1]), "head/kernel": np.zeros((8, 4))}
    check(ValueError, r"'head/kernel' has shape \(8, 3\) in the first .* second: \(8, 4\)", other)
    check(ValueError, r"'fc1/kernel' has shape \(6, 8\) .* second: none", {})
    single = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
    check(ValueError, r"two classes or more. It has \(None, 1\)|\(20, 1\)", single, a=single)


def test_statistics_of_a_layer_that_is_called_twice_are_those_of_both_calls():
    inputs = [keras.Input((3,)), keras.Input((3,))]
    norm = keras.layers.BatchNormalization(momentum=0.8, name="norm")
    merged = keras.layers.Concatenate()([norm(x) for x in inputs])
    model = keras.Model(inputs, keras.layers.Dense(3)(merged))
    parts = [X[:, :3], 2 * X[:, 3:] + 1]
    found = kt.analysis.connectivity(
        model, model, (parts, Y), points=2, batch_norm="recompute", train_data=(parts, Y), loss=LOSS
    )
    for variable, of in ((norm.moving_mean, np.mean), (norm.moving_variance, np.var)):
        first, second = (of(part, axis=0) for part in parts)
        variable.assign((0.8 * first + second) / 1.8)
    expected = float(LOSS(Y, model(parts)))
    np.testing.assert_allclose(found.losses["data"], expected, rtol=1e-5)


class NotLearning(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.norm = keras.layers.BatchNormalization(name="idle")

    def call(self, x):
        return self.norm(x, training=False)


def test_what_cannot_be_measured_is_refused_with_the_reason():
    model = keras.Sequential([keras.Input((6,)), NotLearning(), keras.layers.Dense(3)])
    measure = functools.partial(kt.analysis.connectivity, model, model, points=2, loss=LOSS)
    with pytest.raises(ValueError, match="layer 'idle' cannot be recomputed"):
        measure(TEST, batch_norm="recompute", train_data=TRAIN)
    for weighted in ([(*TEST, np.ones(20))], (*TEST, np.ones(20))):
        with pytest.raises(ValueError, match="sample weights would not count"):
            measure(weighted)
    with pytest.raises(TypeError, match="`curve` must be a BezierCurve. Received: 3"):
        measure(TEST, curve=3)
    model.layers[-1].bias.assign(np.full(3, np.nan))
    assert np.isnan(measure(TEST).losses["data"]).all()


def test_a_curve_between_plain_copies_is_one_between_the_sparse_networks():
    pair = [kt.sparsify(mlp(6), 0.5, seed=seed) for seed in range(2)]
    weights = [kt.weight_paths(kt.strip(model)) for model in pair]
    points = [{path: variable.numpy() for path, variable in each.items()} for each in weights]
    curve = kt.analysis.BezierCurve(points, {})
    lines = [
        kt.analysis.connectivity(*pair, TEST, points=3, loss=LOSS, curve=each)
        for each in (curve, None)
    ]
    np.testing.assert_array_equal(lines[0].losses["data"], lines[1].losses["data"])


def test_functions_as_losses_are_those_of_compiled_models():
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((4,), dtype="int32"),
            layers.Embedding(5, 3, mask_zero=True),
            layers.Dense(3, activation="softmax"),
        ]
    )
    x, y = np.array([[1, 2, 0, 0], [3, 4, 1, 0]]), np.eye(3, dtype=int)[[[0, 1, 2, 0]] * 2]
    model.compile("sgd", lambda y, outputs: tf.reduce_mean(tf.square(y - outputs), -1))
    curve = kt.analysis.bezier_curve(model, model, (x, y), steps=1)
    assert curve.losses[0] == pytest.approx(model.evaluate(x, y, verbose=0), rel=1e-5)
