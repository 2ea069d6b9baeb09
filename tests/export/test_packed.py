"""`packed=True`: small on disk, the same bits in memory, and TensorFlow alone to load it."""

import json
import subprocess
import sys

import keras
import networks
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import keras_tickets as kt
from keras_tickets.export.packed_weights import PackedWeight, gets_smaller

SERVE = """
import json, sys
for name in ("keras", "tf_keras", "keras_tickets"):
    sys.modules[name] = None  # importing it would raise ImportError
import numpy as np, tensorflow as tf
path, folder = sys.argv[1:]
inputs = np.load(f"{folder}/inputs.npy")
artifact = tf.saved_model.load(path)
np.save(f"{folder}/served.npy", artifact.serve(inputs))
with tf.compat.v1.Session(graph=tf.Graph()) as session:
    graph = tf.compat.v1.saved_model.load(session, ["serve"], path)
    signature = graph.signature_def["serving_default"]
    (source,), (target,) = signature.inputs.values(), signature.outputs.values()
    np.save(f"{folder}/session.npy", session.run(target.name, {source.name: inputs}))
known = {name.partition(".")[0] for name, module in sys.modules.items() if module}
print(json.dumps(sorted(known & {"keras", "tf_keras", "keras_tickets", "tensorflow"})))
"""


def mlp(seed=0, sparsity=0.9):
    return kt.sparsify(networks.mlp(64, (300, 200), 10, seed=seed), sparsity, seed=seed)


def served(path, inputs):
    artifact = tf.saved_model.load(str(path))
    return artifact.serve(inputs).numpy()


def convnet():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 16))
    x = layers.Conv2D(64, 3, use_bias=False)(inputs)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    shared = layers.Conv2D(64, 3, padding="same", name="shared")
    x = layers.Add()([shared(x), shared(shared(x))])
    x = layers.GRU(64, return_sequences=True)(layers.Reshape((-1, 64))(x))
    return kt.sparsify(keras.Model(inputs, layers.Dense(5)(x)), 0.9)


def same_bits(a, b):
    return a.dtype == b.dtype and np.array_equal(a.view("uint8"), b.view("uint8"))


def test_both_loaders_serve_the_dense_outputs_with_tensorflow_alone(tmp_path):
    model, inputs = mlp(), np.random.default_rng(0).standard_normal((5, 64)).astype("float32")
    np.save(tmp_path / "inputs.npy", inputs)
    kt.export(model, tmp_path / "dense")
    dense = served(tmp_path / "dense", inputs)
    packed = kt.export(model, tmp_path / "packed", packed=True)
    assert packed.max_abs_difference < 1e-6
    arguments = [sys.executable, "-I", "-c", SERVE, str(tmp_path / "packed"), str(tmp_path)]
    result = subprocess.run(arguments, check=True, capture_output=True, text=True, cwd="/")
    assert json.loads(result.stdout) == ["tensorflow"]
    for name in ("served", "session"):
        assert same_bits(np.load(tmp_path / f"{name}.npy"), dense)
    assert packed.bytes < 0.25 * sum(v.numpy().nbytes for v in kt.strip(model).variables) + 60_000


def test_weights_on_disk_are_values_and_bits(tmp_path):
    model = mlp()
    report = kt.export(model, tmp_path / "packed", packed=True)
    masks = list(kt.get_masks(model).values())[:2]  # the last kernel is too small to gain
    expected = sum(4 * int(mask.sum()) + -(-mask.size // 8) for mask in masks)
    assert "2 of 6 weights lie on disk as" in report.note
    assert f"{expected:,} bytes in place of {4 * sum(m.size for m in masks):,}" in report.note
    (data,) = (tmp_path / "packed" / "variables").glob("*.data-*")
    rest = 4 * (300 + 200 + 200 * 10 + 10)
    assert 0 <= data.stat().st_size - expected - rest < 5000
    assert "neither smaller in memory nor faster" in report.note


@pytest.mark.parametrize(
    "policy", ["float32", pytest.param("mixed_bfloat16", marks=pytest.mark.slow)]
)
def test_convolutions_recurrence_and_shared_layers(tmp_path, policy):
    keras.config.set_dtype_policy(policy)
    try:
        model = convnet()
    finally:
        keras.config.set_dtype_policy("float32")
    outputs = []
    for packed in (False, True):
        path = tmp_path / str(packed)
        assert kt.export(model, path, packed=packed).max_abs_difference < 1e-2
        inputs = np.random.default_rng(0).standard_normal((3, 8, 8, 16)).astype("float32")
        outputs.append(served(path, inputs))
    assert same_bits(*outputs)


def test_several_models_in_one_process_keep_their_own_weights(tmp_path):
    inputs = np.ones((2, 64), "float32")
    expected = {}
    for seed in (0, 1):
        kt.export(mlp(seed), tmp_path / str(seed), packed=True)
        expected[seed] = mlp(seed)(inputs).numpy()
    loaded = [(seed, tf.saved_model.load(str(tmp_path / str(seed)))) for seed in (0, 1, 0, 1)]
    del loaded[0]
    for seed, artifact in loaded:
        np.testing.assert_allclose(artifact.serve(inputs), expected[seed], rtol=1e-5, atol=1e-6)


class Noise(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.generator = keras.random.SeedGenerator(0)

    def call(self, inputs):
        return inputs + keras.random.normal((200,), seed=self.generator)


def test_lookup_tables_and_random_states_work_beside_packed_weights(tmp_path):
    words = keras.Input((4,), dtype="string")
    x = layers.StringLookup(vocabulary=["a", "b"])(words)
    x = layers.Flatten()(layers.Embedding(4, 64)(x))
    model = keras.Model(words, Noise()(layers.Dense(200)(x)))
    sparse = kt.sparsify(model, 0.9)
    report = kt.export(sparse, tmp_path / "model", packed=True)
    assert report.max_abs_difference < 1e-5, "both draw from the state that was exported"
    artifact = tf.saved_model.load(str(tmp_path / "model"))
    one, two = (artifact.serve(tf.constant([["a", "b", "c", "a"]])).numpy() for _ in range(2))
    assert one.any() and (one != two).any()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", tf.bfloat16])
def test_every_bit_of_a_weight_comes_back(dtype, tmp_path):
    random = np.random.default_rng(0)
    value = np.where(random.random((37, 1001)) < 0.1, random.normal(size=(37, 1001)) * 10, 0)
    value = value.astype(tf.as_dtype(dtype).as_numpy_dtype)
    value[0, :2] = -0.0, 1
    weight = PackedWeight(value)
    weight._initialize()
    assert same_bits(weight.read().numpy(), value)
    assert gets_smaller(value) or value.itemsize == 1


def test_what_would_not_get_smaller_is_not_packed(tmp_path):
    assert not gets_smaller(np.zeros((40, 40), "float32"))
    assert not gets_smaller(np.ones((1000, 1000), "float32"))
    report = kt.export(kt.strip(mlp(sparsity=0.0)), tmp_path / "model", packed=True)
    assert "nothing is packed" in report.note and "neither smaller nor faster" in report.note
