"""Scores against closed forms in NumPy, and pruning by them."""

import functools
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from slow_cases import slow_unless

import keras_tickets as kt
from keras_tickets import masks, scoring

RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 5)).astype("float32")
Y = RNG.normal(size=(12, 3)).astype("float32")


def linear():
    """y = x A B without biases: gradients, Hessian and flow have closed forms."""
    layers = [keras.layers.Dense(4, use_bias=False, name="a")]
    layers.append(keras.layers.Dense(3, use_bias=False, name="b"))
    return keras.Sequential([keras.Input((5,)), *layers])


def gradients(a, b):
    error = 2 * (X @ a @ b - Y) / Y.size
    return X.T @ error @ b.T, (X @ a).T @ error


def weights(model):
    return [w.numpy().astype("float64") for w in model.trainable_variables]


def test_snip_is_weight_times_gradient():
    model = linear()
    a, b = weights(model)
    da, db = gradients(a, b)
    scores = scoring.snip(model, X, Y, "mse")
    np.testing.assert_allclose(scores["a/kernel"], np.abs(a * da), rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(scores["b/kernel"], np.abs(b * db), rtol=1e-4, atol=1e-7)


def test_grasp_is_weight_times_hessian_gradient():
    model = linear()
    a, b = weights(model)
    da, db = gradients(a, b)
    step = 1e-5
    plus, minus = (gradients(a + s * da, b + s * db) for s in (step, -step))
    ha, hb = ((p - m) / (2 * step) for p, m in zip(plus, minus, strict=True))
    scores = scoring.grasp(model, X, Y, "mse", temperature=1.0)
    np.testing.assert_allclose(scores["a/kernel"], a * ha, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(scores["b/kernel"], b * hb, rtol=1e-3, atol=1e-6)


def test_synflow_is_the_flow_of_absolute_weights():
    model = linear()
    a, b = (np.abs(w) for w in weights(model))
    flow_a = a * np.outer(np.ones(5), b @ np.ones(3))
    flow_b = b * np.outer(np.ones(5) @ a, np.ones(3))
    scores = scoring.synflow(model)
    ratio_a, ratio_b = scores["a/kernel"] / flow_a, scores["b/kernel"] / flow_b
    np.testing.assert_allclose(ratio_a, ratio_a[0, 0], rtol=1e-4)
    np.testing.assert_allclose(ratio_b, ratio_a[0, 0], rtol=1e-4)


def test_synflow_of_a_deep_network_stays_finite():
    layers = [keras.layers.Dense(300, activation="relu") for _ in range(60)]
    model = keras.Sequential([keras.Input((30,)), *layers, keras.layers.Dense(2)])
    scores = scoring.synflow(model)
    totals = [score.sum(dtype="float64") for score in scores.values()]
    np.testing.assert_allclose(totals, totals[0], rtol=1e-2)


def convolutional():
    inputs = keras.Input((8, 8, 2))
    x = keras.layers.Conv2D(4, 3, use_bias=False)(inputs)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Dropout(0.5, seed=1)(keras.layers.ReLU()(x))
    return keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(x)))


@pytest.mark.parametrize("name", scoring.SCORES)
def test_the_model_is_left_as_it_was_and_masked_weights_rank_last(name):
    dense = convolutional()
    images = RNG.normal(size=(6, 8, 8, 2)).astype("float32")
    labels = np.arange(6) % 3
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    given = {"x": images, "y": labels, "loss": loss, "seed": 3}
    arguments = {argument: given[argument] for argument in scoring.takes(scoring.SCORES[name])}
    for model in (dense, kt.sparsify(dense, 0.5)):
        before = [v.numpy() for v in model.variables]
        scores = scoring.SCORES[name](model, **arguments)
        for a, b in zip(before, model.variables, strict=True):
            np.testing.assert_array_equal(a, b.numpy())
        found = kt.get_masks(model)
        for path, score in scores.items():
            assert score.dtype == np.float32
            assert np.isfinite(score[found[path]] if path in found else score).all()
            assert path not in found or (score[~found[path]] == -np.inf).all()


def test_what_each_score_takes_is_known_once():
    """A new score joins the table; `kt.prune` and gin follow it."""
    assert set(scoring.SCORES) == {"magnitude", "random", "snip", "grasp", "synflow"}
    taken = {name: scoring.takes(score) for name, score in scoring.SCORES.items()}
    assert taken["snip"] == taken["grasp"] == ("x", "y", "loss")
    assert (taken["random"], taken["magnitude"], taken["synflow"]) == (("seed",), (), ())
    for name in ("magnitude", "random", "synflow"):
        assert kt.prune(linear(), name, 0.5).sparsity == 0.5


def test_a_score_that_joins_the_table_can_be_named(monkeypatch):
    def smallest(model, *, filters=None):
        return {path: -score for path, score in scoring.magnitude(model).items()}

    monkeypatch.setitem(scoring.SCORES, "smallest", smallest)
    model = linear()
    pruned = kt.prune(model, "smallest", 0.5)
    kept = kt.get_masks(pruned)["a/kernel"]
    values = np.abs(model.get_layer("a").kernel.numpy())
    by_function = kt.prune(model, smallest, 0.5)
    np.testing.assert_array_equal(kept, kt.get_masks(by_function)["a/kernel"])
    assert values[kept].max() <= values[~kept].min()
    with pytest.raises(ValueError, match="'smallest'"):
        kt.prune(model, "snip", 0.5)


@pytest.mark.parametrize("scope", ["global", "local"])
def test_prune_keeps_exactly_the_highest(scope, tmp_path):
    model = linear()
    scores = scoring.magnitude(model)
    pruned = kt.prune(model, scores, 0.5, scope=scope)
    flat = np.concatenate([s.ravel() for s in scores.values()])
    kept = np.concatenate([m.ravel() for m in kt.get_masks(pruned).values()])
    if scope == "global":
        assert kept.sum() == 16
        assert flat[kept].min() >= flat[~kept].max()
    else:
        assert [m.sum() for m in kt.get_masks(pruned).values()] == [10, 6]
    pruned.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    for record, other in zip(
        masks.masked_kernels(pruned), masks.masked_kernels(again), strict=True
    ):
        assert record.count() == record.target == other.target == other.count()


def test_rounds_score_the_pruned_model():
    densities = []

    def score(model):
        densities.append(1 - model.sparsity)
        return scoring.magnitude(model)

    kt.prune(kt.models.lenet_300_100((8, 8, 1), seed=0), score, 0.99, iterations=4)
    np.testing.assert_allclose(densities, [1, 0.01**0.25, 0.1, 0.01**0.75], rtol=1e-3)


def narrow(seed, depth=12):
    """A deep narrow network whose last hidden layers have smaller weights."""
    keras.utils.set_random_seed(seed)
    layers = [
        keras.layers.Dense(32, activation="relu", kernel_initializer="he_normal")
        for _ in range(depth)
    ]
    wide = keras.layers.Dense(256, activation="relu", kernel_initializer="he_normal")
    return keras.Sequential(
        [keras.Input((64,)), *layers[:6], wide, *layers[6:], keras.layers.Dense(10)]
    )


@pytest.mark.parametrize("seed", slow_unless(lambda seed: seed == 2, [0, 1, 2]))
def test_synflow_keeps_a_deep_narrow_network_alive(seed, record_property):
    model, rng = narrow(seed), np.random.default_rng(seed)
    x = rng.normal(size=(256, 64)).astype("float32")
    y = np.arange(256) % 10
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    methods = {
        "synflow": {"scores": "synflow", "iterations": 30},
        "snip": {"scores": functools.partial(scoring.snip, x=x, y=y, loss=loss)},
        "magnitude": {"scores": "magnitude"},
    }
    least, passes = {}, {}
    for name, arguments in methods.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            pruned = kt.prune(model, sparsity=0.99, **arguments)
        least[name] = min(mask.sum() for mask in kt.get_masks(pruned).values())
        path = np.ones((1, 64))
        for mask in kt.get_masks(pruned).values():
            path = (path @ mask > 0).astype(float)
        passes[name] = bool(path.any())
    record_property("weights left in the emptiest kernel", str(least))
    print(f"seed {seed}: weights left in the emptiest kernel {least}")
    assert passes == {"synflow": True, "snip": False, "magnitude": False}


def test_collapse_is_named_and_a_floor_prevents_it():
    model = linear()
    model.get_layer("b").kernel.assign(tf.fill((4, 3), 1e-6))
    with pytest.warns(UserWarning, match="no weight is left in b/kernel"):
        kt.prune(model, "magnitude", 0.5)
    floored = kt.get_masks(kt.prune(model, "magnitude", 0.5, floor=2))
    assert (floored["a/kernel"].sum(), floored["b/kernel"].sum()) == (14, 2)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: kt.prune(linear(), "snip", 0.5), r"needs data \(snip, grasp\)"),
        (lambda: kt.prune(linear(), "hessian", 0.5), "scores='hessian'"),
        (lambda: kt.prune(linear(), {}, 0.5), "every kernel; 'a/kernel' is missing"),
        (lambda: kt.prune(linear(), {"a/kernel": np.ones(3)}, 0.5), "has shape"),
        (
            lambda: kt.prune(linear(), scoring.magnitude(linear()), 0.5, iterations=2),
            "iterations=2",
        ),
        (lambda: kt.prune(linear(), "magnitude", 0.5, scope="layer"), "scope='layer'"),
        (lambda: kt.prune(linear(), "magnitude", 0.5, floor=-1), "floor=-1"),
        (lambda: kt.prune(linear(), "magnitude", 1.0), "sparsity=1.0"),
        (lambda: scoring.snip(linear(), 0 * X, Y, "mse"), "snip scores of model .* are all 0"),
        (lambda: scoring.snip(linear(), X * np.nan, Y, "mse"), "not finite"),
        (lambda: scoring.grasp(linear(), X, Y, "mse", temperature=0), "temperature=0"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
