"""`kt.compare`: what it says is what is there."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import keras_tickets as kt
from keras_tickets.export import measure


@pytest.fixture(scope="module")
def models():
    keras.utils.set_random_seed(0)
    dense = keras.Sequential([keras.Input((64,)), layers.Dense(200, "relu"), layers.Dense(10)])
    sparse = kt.sparsify(dense, 0.9, mask="magnitude")
    for model in (dense, sparse):
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(True), metrics=["accuracy"])
    return dense, sparse


@pytest.fixture(scope="module")
def data():
    random = np.random.default_rng(0)
    return random.normal(size=(40, 64)).astype("float32"), random.integers(0, 10, 40)


@pytest.fixture(autouse=True)
def few_calls(monkeypatch):
    monkeypatch.setattr(measure, "MAX_SECONDS", 0.0)


def test_everything_is_side_by_side(models, data):
    dense, sparse = models
    compared = kt.compare(dense, sparse, data)
    outputs = [model.predict(data[0], verbose=0) for model in models]
    assert compared.max_abs_difference == pytest.approx(np.abs(outputs[0] - outputs[1]).max(), 1e-5)
    accuracies = [np.mean(output.argmax(1) == data[1]) for output in outputs]
    row = compared["accuracy"]
    assert (row.dense, row.sparse) == pytest.approx(accuracies, abs=1e-6)
    assert compared.agreement == np.mean(outputs[0].argmax(1) == outputs[1].argmax(1))
    assert compared["nonzero weights"].dense == 64 * 200 + 2000
    assert compared["nonzero weights"].sparse == kt.summary(sparse).nonzeros
    assert compared["litert, bytes"].ratio < 0.3 and compared["tf_saved_model, bytes"].ratio < 0.6
    reports = compared.reports["litert"]
    assert compared["litert, ms at batch 32"].sparse == reports[1].latency_ms[32].median
    ram = compared["litert, RAM bytes"]
    assert ram.dense is None or ram.dense > 0
    lines = str(compared).splitlines()
    assert max(map(len, lines)) <= 80 and "same class" in lines[-1]
    with pytest.raises(KeyError):
        compared["cost"]


def test_data_sets_and_bare_inputs(models, data):
    dense, sparse = models
    whole = kt.compare(dense, sparse, data, formats=())
    batches = tf.data.Dataset.from_tensor_slices(data).batch(16)
    for given in (batches, data[0], batches.map(lambda x, y: x)):
        compared = kt.compare(dense, sparse, given, formats=())
        assert compared.max_abs_difference == pytest.approx(whole.max_abs_difference, 1e-5)
        names = [row.name for row in compared.rows]
        assert ("accuracy" in names) == (given is batches)


def test_a_data_set_that_shuffles_anew_is_read_once(models, data):
    batches = tf.data.Dataset.from_tensor_slices(data).shuffle(40, seed=0).batch(16)
    compared = kt.compare(models[0], models[0], batches, formats=())
    assert compared.max_abs_difference == 0 and compared.agreement == 1


def test_data_that_models_do_not_take(models, data):
    batches = tf.data.Dataset.from_tensor_slices(data).batch(16)
    for given, reason in (
        (data[0][:0], "is empty"),
        (batches.take(0), "is empty"),
        (batches.repeat(), "has no end"),
        (data[0][:, :5], "InvalidArgumentError|ValueError"),
        (None, "NoneType"),
    ):
        with pytest.raises(ValueError, match=f"`data` must be inputs that both .*({reason})"):
            kt.compare(*models, given, formats=())


def test_wrong_arguments(models, data):
    other = keras.Sequential([keras.Input((64,)), layers.Dense(3)])
    with pytest.raises(ValueError, match="must have outputs of the same shapes"):
        kt.compare(models[0], other, data)
    with pytest.raises(ValueError, match="`formats` must be among.*'caffe'"):
        kt.compare(*models, data, formats=["caffe"])
    with pytest.raises(TypeError, match="`dense` must be a keras.Model"):
        kt.compare("model.keras", models[1], data)
