"""Pruning, compaction and analyses on models of unusual kinds."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from networks import LOSS
from unusual_models import UNUSUAL, X

import keras_tickets as kt

Y = np.arange(12) % 3


@pytest.fixture(autouse=True)
def same_weights():
    keras.utils.set_random_seed(0)


def without_kernels():
    return keras.Sequential([keras.Input((8,)), keras.layers.BatchNormalization()])


@pytest.mark.parametrize("kind", UNUSUAL)
def test_scores_and_smaller_models(kind):
    model, x = UNUSUAL[kind]()
    snip = functools.partial(kt.scoring.snip, x=x, y=Y, loss=LOSS)
    for scores in ("magnitude", "synflow", snip):
        pruned = kt.prune(model, scores, 0.5)
        assert pruned.sparsity == pytest.approx(0.5, abs=0.02)
    small = kt.compact(pruned)
    assert small.count_params() <= model.count_params()
    outputs, expected = (np.float64(m(x, training=False)) for m in (small, pruned))
    np.testing.assert_allclose(outputs, expected, atol=0.02 if kind == "mixed precision" else 1e-5)


@pytest.mark.parametrize("kind", UNUSUAL)
def test_analyses_on_arrays_and_batches(kind):
    model, x = UNUSUAL[kind]()
    a = kt.sparsify(model, 0.5, mask="magnitude")
    b = kt.sparsify(model, 0.5, mask="magnitude")
    for variable in b.trainable_variables:
        variable.assign(variable + 0.3)
    b.rest()
    wrong = [np.mean(np.float64(m(x, training=False)).argmax(1) != Y) for m in (a, b)]
    apart = [np.float64(m(x, training=False)).argmax(1) for m in (a, b)]
    inputs = tuple(x) if isinstance(x, list) else x
    for data in ((x, Y), tf.data.Dataset.from_tensor_slices((inputs, Y)).batch(5)):
        line = kt.analysis.connectivity(a, b, data, points=2, loss=LOSS)
        np.testing.assert_allclose(line.errors["data"], wrong, atol=1e-6)
        assert np.isfinite(line.losses["data"]).all()
        found = kt.analysis.disagreement(a, b, data)
        assert found == pytest.approx(np.mean(apart[0] != apart[1]))
    flow = kt.analysis.gradient_flow(a, x, Y, LOSS)
    assert list(flow) == list(a.masks) and all(np.isfinite(list(flow.values())))
    assert kt.analysis.distance(a, a).l2 == 0
    assert kt.analysis.overlap(a, b).total.iou == 1


def test_inputs_alone_are_enough_to_compare_predictions():
    model, x = UNUSUAL["dict of inputs"]()
    assert kt.analysis.disagreement(model, model, x) == 0
    assert kt.analysis.disagreement(model, model, tf.data.Dataset.from_tensors((x,))) == 0


def test_a_model_without_kernels_is_pruned_of_nothing():
    dense = without_kernels()
    pruned = kt.prune(dense, "magnitude", 0.9)
    assert pruned.masks == {}
    np.testing.assert_array_equal(pruned(X), dense(X))


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda m, x: kt.analysis.gradient_flow(m, x, Y, None), "`loss` must be .* loss=None"),
        (lambda m, x: kt.analysis.gradient_flow(m, x, Y, "mes"), "`loss` must be .* loss='mes'"),
        (lambda m, x: kt.scoring.snip(m, x, Y, "mes"), "`loss` must be .* loss='mes'"),
        (lambda m, x: kt.analysis.gradient_flow(3, x, Y, LOSS), "`model` must be a keras.Model"),
        (lambda m, x: kt.analysis.disagreement(m, "m", x), "`model_b` must be a keras.Model"),
        (
            lambda m, x: kt.analysis.disagreement(m, m, (x, Y[:5])),
            "same length. Received: 12, 12, 5",
        ),
        (lambda m, x: kt.analysis.disagreement(m, m, ("x", Y)), "must be arrays.*x of class str"),
        (
            lambda m, x: kt.analysis.connectivity(m, m, tf.data.Dataset.from_tensors((x,))),
            "'data' must have targets",
        ),
    ],
)
def test_wrong_arguments(make, message):
    model, x = UNUSUAL["dict of inputs"]()
    with pytest.raises((TypeError, ValueError), match=message):
        make(kt.sparsify(model, 0.0), x)


def two_outputs(size):
    inputs = keras.Input((8,))
    heads = (("a", 3), ("b", size))
    return keras.Model(
        inputs, {name: keras.layers.Dense(units, name=name)(inputs) for name, units in heads}
    )


@pytest.mark.parametrize("size", [2, 3])
def test_several_outputs_are_refused_with_their_shapes(size):
    model, shapes = two_outputs(size), rf"outputs of shapes \(12, 3\), \(12, {size}\)"
    sparse = kt.sparsify(model, 0.5)
    for loss in (LOSS, "mse", keras.losses.mean_squared_error):
        with pytest.raises(ValueError, match=shapes):
            kt.analysis.gradient_flow(sparse, X, Y, loss)
        with pytest.raises(ValueError, match=shapes):
            kt.scoring.snip(model, X, Y, loss)
        with pytest.raises(ValueError, match=shapes):
            kt.analysis.Hessian(model, (X, Y), loss)(np.ones(model.count_params()))
    with pytest.raises(ValueError, match=shapes):
        kt.analysis.connectivity(model, model, (X, Y), points=2)
    with pytest.raises(ValueError, match="2 outputs in a dict"):
        kt.analysis.disagreement(model, model, X)


def test_a_function_may_take_several_outputs():
    model = two_outputs(2)
    sparse, y = kt.sparsify(model, 0.5), np.float32(Y[:, None])

    def loss(targets, outputs):
        return tf.square(outputs["a"] - targets)[:, 0] + 3 * tf.square(outputs["b"] - targets)[:, 0]

    flow = kt.analysis.gradient_flow(sparse, X, y, loss)
    outputs = {name: value.numpy() for name, value in sparse(X).items()}
    for name, scale in (("a", 1), ("b", 3)):
        gradient = X.T @ (outputs[name] - y) * 2 * scale / 12
        gradient[:, 1:] = 0
        live = gradient * sparse.masks[f"{name}/kernel"]
        assert flow[f"{name}/kernel"] == pytest.approx(np.linalg.norm(live), rel=1e-4)
    hessian = kt.analysis.Hessian(model, (X, y), loss)
    identity = np.eye(hessian.size)
    matrix = np.stack([hessian(row) for row in identity])
    assert np.trace(matrix) == pytest.approx(8 * (1 + np.mean(np.sum(X**2, 1))), rel=1e-4)


@pytest.mark.parametrize("losses", [["mse"], {"only": "mse"}])
def test_a_model_of_one_output_may_be_compiled_with_its_loss_in_a_structure(losses):
    inputs = keras.Input((8,))
    model = keras.Model(inputs, keras.layers.Dense(3, name="only")(inputs))
    model.compile("sgd", losses)
    curve = kt.analysis.bezier_curve(model, model, (X, np.ones((12, 3))), steps=1)
    assert np.isfinite(curve.losses).all()


def test_the_losses_of_several_outputs_do_not_stand_for_one():
    model = two_outputs(2)
    model.compile("sgd", {"a": "mse", "b": "mse"})
    with pytest.raises(ValueError, match="compiled with one for each of its outputs"):
        kt.analysis.Hessian(model, (X, Y))
