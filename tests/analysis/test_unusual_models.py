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


def test_several_outputs_are_refused_with_their_shapes():
    inputs = keras.Input((8,))
    outputs = {
        name: keras.layers.Dense(size, name=name)(inputs) for name, size in (("a", 3), ("b", 2))
    }
    model = keras.Model(inputs, outputs)
    with pytest.raises(ValueError, match=r"outputs of shapes \(12, 3\), \(12, 2\)"):
        kt.analysis.connectivity(model, model, (X, Y), points=2)
    with pytest.raises(ValueError, match="2 outputs in a dict"):
        kt.analysis.disagreement(model, model, X)
