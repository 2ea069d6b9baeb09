"""Weights whose variance follows each neuron's own number of connections."""

import keras
import numpy as np
import pytest

import keras_tickets as kt
from keras_tickets.initializers import SparseVarianceScaling, initialize


@pytest.mark.parametrize("distribution", ["normal", "truncated_normal", "uniform"])
@pytest.mark.parametrize("mode", ["fan_in", "fan_out", "fan_avg"])
def test_variance_by_connection(mode, distribution):
    mask = np.zeros((400, 300), bool)
    mask[:, :100] = True
    mask[:25, 100:200] = True
    mask[:100, 200:] = True
    draw = SparseVarianceScaling(1.5, mode, distribution, seed=3)
    kernel = draw((400, 300), mask=mask)
    assert not kernel[~mask].any()
    fan_in = mask.sum(0)[None, :] * np.ones((400, 1))
    fan_out = mask.sum(1)[:, None] * np.ones((1, 300))
    fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[mode]
    unit = kernel * np.sqrt(fan / 1.5)
    for rows, columns in ((slice(0, 25), slice(100, 200)), (slice(100, 400), slice(0, 100))):
        part = unit[rows, columns]
        assert abs(part.mean()) < 0.1
        assert abs(part.std() - 1) < 0.05


@pytest.mark.parametrize("distribution", ["truncated_normal", "uniform"])
def test_without_a_mask_it_spreads_as_keras_does(distribution):
    ours = SparseVarianceScaling(2.0, "fan_avg", distribution)((3, 3, 40, 60))
    keras_one = keras.initializers.VarianceScaling(2.0, "fan_avg", distribution, seed=1)
    theirs = keras_one((3, 3, 40, 60)).numpy()
    assert abs(ours.std() / theirs.std() - 1) < 0.02
    assert abs(np.abs(ours).max() / np.abs(theirs).max() - 1) < 0.02


def test_every_kernel_of_a_model_and_nothing_else():
    inputs = keras.Input((8, 8, 6))
    x = keras.layers.Conv2D(16, 3, name="conv")(inputs)
    x = keras.layers.Reshape((36, 16))(x)
    x = keras.layers.EinsumDense("abc,cde->abde", (36, 4, 8), name="einsum")(x)
    x = keras.layers.Reshape((36, 32))(x)
    x = keras.layers.LSTM(12, name="lstm")(x)
    model = kt.sparsify(keras.Model(inputs, keras.layers.Dense(3, name="head")(x)), 0.6)
    before = {v.path: v.numpy() for v in model.weights}
    initialize(model, SparseVarianceScaling(seed=5))
    masks = model.masks
    changed = [v.path for v in model.weights if (v.numpy() != before[v.path]).any()]
    assert len(changed) == len(masks) == 5
    for record in kt.masks.masked_kernels(model):
        kernel, mask = record.kernel.numpy(), record.mask.numpy()
        assert not kernel[~mask].any() and kernel[mask].all()
    conv = kt.masks.masked_kernels(model)[0]
    fan_in = conv.mask.numpy().sum(axis=(0, 1, 2))
    unit = conv.kernel.numpy() * np.sqrt(fan_in / 2)
    assert abs(unit[conv.mask.numpy()].std() - 1) < 0.15
    again = kt.sparsify(kt.models.lenet_300_100((8, 8, 1), seed=0), 0.9)
    initialize(again, SparseVarianceScaling(seed=1))
    first = again.get_weights()
    initialize(again, SparseVarianceScaling(seed=1))
    assert all((a == b).all() for a, b in zip(first, again.get_weights(), strict=True))


def test_config_round_trip():
    initializer = SparseVarianceScaling(1.0, "fan_avg", "uniform", seed=9)
    config = keras.saving.serialize_keras_object(initializer)
    again = keras.saving.deserialize_keras_object(config)
    assert again.get_config() == initializer.get_config()


@pytest.mark.parametrize(
    "kwargs, message",
    [
        ({"scale": 0}, "scale=0"),
        ({"mode": "fan"}, "mode='fan'"),
        ({"distribution": "cauchy"}, "distribution='cauchy'"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        SparseVarianceScaling(**kwargs)


def test_what_cannot_be_initialized_is_refused():
    dense = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    with pytest.raises(ValueError, match="has no masks"):
        initialize(dense, SparseVarianceScaling())
    with pytest.raises(TypeError, match="SparseVarianceScaling"):
        initialize(kt.sparsify(dense, 0.5), "he_normal")
