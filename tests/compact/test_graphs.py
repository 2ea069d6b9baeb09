"""Nested and shared models, files, whole networks, and random graphs."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keras import layers
from test_compact import assert_same_outputs, disuse, kill, random_inputs, randomize, reasons, sizes

import keras_tickets as kt
from keras_tickets._kernels.find import find_kernels
from keras_tickets.compact import compact, compaction_report


def encoder(kind):
    if kind == "sequential":
        parts = [keras.Input((4,)), layers.Dense(6, name="fc1"), layers.Dense(5, name="fc2")]
        return keras.Sequential(parts, name="encoder")
    inputs = keras.Input((4,))
    x = layers.Dense(5, name="fc2")(layers.Dense(6, name="fc1")(inputs))
    return keras.Model(inputs, x, name="encoder")


@pytest.mark.parametrize("kind", ["sequential", "functional"])
def test_channels_go_across_the_boundary_of_a_nested_model(kind):
    inputs = keras.Input((3,))
    inner = encoder(kind)
    x = inner(layers.Dense(4, name="before")(inputs))
    model = randomize(keras.Model(inputs, layers.Dense(2, name="after")(x)))
    kill(model.get_layer("before"), [1], bias=0.5)
    kill(inner.get_layer("fc1"), [2, 3], bias=0.5)
    kill(inner.get_layer("fc2"), [0], bias=0.5)
    disuse(model.get_layer("after"), [4])
    smaller = compact(model)
    assert sizes(smaller) == {"before": 3, "after": 2}
    assert sizes(smaller.get_layer("encoder")) == {"fc1": 4, "fc2": 3}
    assert [k.path for k in find_kernels(smaller)[0]] == [k.path for k in find_kernels(model)[0]]
    assert_same_outputs(model, smaller)


def test_a_nested_model_called_twice_is_made_smaller_inside():
    inputs = keras.Input((4,))
    inner = encoder("functional")
    x = layers.Concatenate()([inner(inputs), inner(layers.Dense(4, name="before")(inputs))])
    model = randomize(keras.Model(inputs, layers.Dense(2, name="after")(x)))
    kill(model.get_layer("before"), [1], bias=0.5)
    kill(inner.get_layer("fc1"), [2, 3], bias=0.5)
    kill(inner.get_layer("fc2"), [0], bias=0.5)
    smaller = compact(model)
    assert sizes(smaller.get_layer("encoder")) == {"fc1": 4, "fc2": 5}
    assert sizes(smaller) == {"before": 4, "after": 2}
    assert ("encoder", 1, "called more than once") in reasons(model)
    assert smaller.count_params() == (5 * 4 + 5 * 5) + 5 * 4 + 11 * 2
    assert_same_outputs(model, smaller)


def test_a_shared_layer_stays_and_stays_shared():
    inputs = keras.Input((4,))
    shared, relu = layers.Dense(4, name="shared"), layers.ReLU()
    inner_inputs = keras.Input((4,))
    inner = keras.Model(inner_inputs, shared(inner_inputs), name="inner")
    x = shared(relu(layers.Dense(4, name="a")(inputs)))
    x = layers.Dense(5, name="b")(relu(inner(x)))
    model = randomize(keras.Model(inputs, layers.Dense(2, name="c")(x)))
    kill(model.get_layer("a"), [0])
    kill(shared, [1])
    kill(model.get_layer("b"), [0, 1])
    smaller = compact(model)
    assert sizes(smaller) == {"a": 4, "shared": 4, "b": 3, "c": 2}
    assert smaller.get_layer("shared") is smaller.get_layer("inner").get_layer("shared")
    assert_same_outputs(model, smaller)


def test_inputs_and_outputs_keep_their_structure_and_size():
    inputs = {"x": keras.Input((3,), name="x"), "y": keras.Input((2,), name="y")}
    hidden = layers.Dense(6, "relu", name="a")(layers.Concatenate()([inputs["x"], inputs["y"]]))
    outputs = {"hidden": hidden, "head": layers.Dense(2, name="b")(hidden)}
    model = randomize(keras.Model(inputs, outputs))
    disuse(model.get_layer("a"), [0, 4])
    kill(model.get_layer("a"), [1, 2], bias=0.5)
    kill(model.get_layer("b"), [1], bias=0.5)
    smaller = compact(model)
    assert sizes(smaller) == {"a": 6, "b": 2}
    assert {("a", 2, "an output of the model"), ("b", 1, "an output of the model")} == reasons(
        model
    )
    x, y = random_inputs(model)
    expected, actual = model({"x": x, "y": y}), smaller({"x": x, "y": y})
    assert list(actual) == list(expected)
    for name in expected:
        np.testing.assert_allclose(actual[name], expected[name], atol=1e-5)


def test_recurrent_layers_embeddings_and_masks_are_left_as_they_are():
    inputs = keras.Input((None,), dtype="int32")
    x = layers.Embedding(10, 4, mask_zero=True)(inputs)
    x = layers.Dense(5, name="a")(x)
    x = layers.Dense(6, "relu", name="b")(layers.GRU(3, name="gru")(x))
    model = randomize(keras.Model(inputs, layers.Dense(2, name="c")(x)))
    kill(model.get_layer("a"), [1])
    kill(model.get_layer("b"), [1])
    smaller = compact(model)
    assert sizes(smaller) == {"a": 5, "b": 5, "c": 2}
    assert ("gru", 1, "GRU cannot be taken apart") in reasons(model)
    tokens = np.array([[1, 2, 3, 0, 0], [4, 5, 6, 7, 8]])
    np.testing.assert_allclose(smaller(tokens), model(tokens), atol=1e-5)


@pytest.mark.slow
def test_the_model_is_left_as_it_is_and_the_result_needs_no_keras_tickets(tmp_path):
    sparse = kt.sparsify(
        randomize(kt.models.resnet20(input_shape=(8, 8, 3), width=0.5)),
        {"conv1$|_conv1/": 0.4},
        structure=kt.structures.Channel(),
        mask="magnitude",
    )
    before = sparse.get_weights()
    smaller = compact(sparse)
    for a, b in zip(before, sparse.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert smaller.count_params() < 0.85 * kt.strip(sparse).count_params()
    smaller.save(tmp_path / "small.keras")
    images = random_inputs(smaller)[0]
    np.save(tmp_path / "images.npy", images)
    code = (
        "import sys, keras, numpy as np; sys.modules['keras_tickets'] = None; "
        "model = keras.models.load_model('small.keras'); "
        "np.save('outputs.npy', model(np.load('images.npy'), training=False))"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, env=dict(os.environ))
    outputs = np.load(tmp_path / "outputs.npy")
    np.testing.assert_allclose(outputs, sparse(images, training=False), rtol=1e-4, atol=1e-4)


def test_a_residual_network_with_dead_channels_everywhere():
    model = randomize(kt.models.resnet20(input_shape=(8, 8, 3)))
    random = np.random.default_rng(0)
    inner = 0
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.moving_variance.assign(np.full(layer.moving_variance.shape, 20.0))
    for layer in model.layers:
        if isinstance(layer, layers.Conv2D) and layer.name.endswith("_conv1"):
            dead = random.permutation(layer.filters)[: round(0.3 * layer.filters)]
            kill(layer, dead)
            norm = model.get_layer(f"{layer.name}_norm")
            for name, value in (("beta", -1.0), ("moving_mean", 0.0)):
                values = getattr(norm, name).numpy()
                values[dead] = value
                getattr(norm, name).assign(values)
            previous = layer.kernel.shape[2]
            inner += len(dead) * (
                9 * previous + 4 + 9 * model.get_layer(layer.name.replace("conv1", "conv2")).filters
            )
    smaller = compact(model)
    assert smaller.count_params() == model.count_params() - inner
    assert_same_outputs(model, smaller)


def test_a_subclassed_model_is_a_copy():
    model = Subclassed(name="net")
    images = np.ones((2, 3), "float32")
    outputs = model(images)
    smaller = compact(model)
    assert smaller is not model and smaller.count_params() == model.count_params()
    np.testing.assert_allclose(smaller(images), outputs, atol=1e-6)
    ((_, _, reason),) = reasons(model)
    assert "cannot be" in reason


@keras.saving.register_keras_serializable("compact_tests")
class Subclassed(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.fc = layers.Dense(4)

    def call(self, x):
        return self.fc(x)


def test_bad_models_are_refused():
    with pytest.raises(TypeError, match="`model` must be a keras.Model"):
        compact("model.keras")
    with pytest.raises(ValueError, match="is not built"):
        compaction_report(keras.Sequential([layers.Dense(4)]))


def test_the_report_prints_a_table():
    inputs = keras.Input((4, 4, 2))
    x = layers.Conv2D(4, 3, padding="same", activation="sigmoid", name="a")(inputs)
    x = layers.Conv2D(3, 3, padding="same", activation="relu", name="b")(x)
    x = layers.GlobalAveragePooling2D()(x)
    model = randomize(keras.Model(inputs, layers.Dense(2, name="c")(x)))
    kill(model.get_layer("a"), [0])
    kill(model.get_layer("b"), [1, 2], bias=0.5)
    lines = [line.split() for line in str(compaction_report(model)).splitlines()]
    assert ["b/kernel", "3x3x4x3", "3x3x4x1"] in lines and ["c/kernel", "3x2", "1x2"] in lines
    assert lines[-2][:4] == ["117", "of", "195", "weights"]
    assert " ".join(lines[-1]) == "stays (a constant other than 0 meets zero padding): b (1 dead)"


class Classes:
    """Which channels of a random graph have to go together: an oracle apart from the package."""

    def __init__(self):
        self.parent = []

    def new(self, count):
        start = len(self.parent)
        self.parent += range(start, start + count)
        return list(range(start, start + count))

    def find(self, item):
        while self.parent[item] != item:
            item = self.parent[item]
        return item

    def join(self, a, b):
        for one, other in zip(a, b, strict=True):
            self.parent[self.find(one)] = self.find(other)
        return a


def random_graph(draw):
    """A model of smooth layers without padding, with dead channels; its tensors; their classes."""
    pick = lambda options: draw(st.sampled_from(list(options)))  # noqa: E731
    classes = Classes()
    inputs = keras.Input((5, 5, 2))
    known = [(inputs, classes.new(2))]
    makers = []

    def convolve(x, filters, size=1):
        activation = pick(["tanh", "sigmoid", "linear"])
        layer = layers.Conv2D(filters, size, activation=activation, use_bias=draw(st.booleans()))
        makers.append((layer, x[1], classes.new(filters)))
        return layer(x[0]), makers[-1][2]

    known.append(convolve(known[0], 4))
    for _ in range(draw(st.integers(2, 6))):
        kind = pick(["conv", "norm", "add", "concatenate", "pool", "conv"])
        x = pick(known[1:])
        if kind == "conv":
            known.append(convolve(x, draw(st.integers(2, 5))))
        elif kind == "norm":
            known.append((layers.BatchNormalization()(x[0]), x[1]))
        elif kind == "pool":
            known.append((layers.AveragePooling2D(2, 1, padding="same")(x[0]), x[1]))
        elif kind == "concatenate":
            y = pick(known[1:])
            known.append((layers.Concatenate()([x[0], y[0]]), x[1] + y[1]))
        else:
            y = convolve(pick(known[1:]), len(x[1]))
            known.append((layers.Add()([x[0], y[0]]), classes.join(x[1], y[1])))
    flat = layers.Flatten()(known[-1][0]), known[-1][1] * 25
    head = layers.Dense(3)
    makers.append((head, flat[1], classes.new(3)))
    outputs = head(flat[0])
    model = keras.Model(inputs, outputs)
    return model, [*known[1:], (outputs, makers[-1][2])], makers, classes, known[0][1]


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_random_graphs_lose_exactly_what_is_dead(data):
    """Dead: constant over random inputs, or without a gradient from the outputs."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    try:
        model, tensors, makers, classes, input_ids = random_graph(data.draw)
        random = np.random.default_rng(data.draw(st.integers(0, 1000)))
        randomize(model, seed=data.draw(st.integers(0, 1000)))
        in_model = {id(layer) for layer in model.layers}
        makers = [maker for maker in makers if id(maker[0]) in in_model]
        for layer, *_ in makers[:-1]:
            kill(layer, np.flatnonzero(random.random(layer.kernel.shape[-1]) < 0.3))
        for layer, *_ in makers[1:]:
            disuse(layer, np.flatnonzero(random.random(layer.kernel.shape[-2]) < 0.2))
        alive = alive_classes(model, tensors, classes)
        alive |= {classes.find(i) for i in input_ids + makers[-1][2]}
        smaller = compact(model)
        assert_same_outputs(model, smaller)
        if all(any(classes.find(i) in alive for i in ids) for _, _, ids in makers):
            left = {layer.name for layer in smaller.layers}
            for layer, ins, outs in makers:
                rows, columns = ([classes.find(i) in alive for i in ids] for ids in (ins, outs))
                if layer.name not in left:  # a branch that is zero on what is left
                    kernel, *biases = (w[..., np.flatnonzero(columns)] for w in layer.get_weights())
                    assert not kernel[..., np.flatnonzero(rows), :].any()
                    assert not any(bias.any() for bias in biases)
                    continue
                expected = [sum(rows), sum(columns)]
                assert list(smaller.get_layer(layer.name).kernel.shape[-2:]) == expected
        assert compact(smaller).count_params() == smaller.count_params()
    finally:
        keras.config.set_dtype_policy(policy)


def alive_classes(model, tensors, classes):
    """The classes of the channels that vary and have a gradient."""
    inside = {id(tensor) for layer in model.layers for tensor in keras.tree.flatten(layer.output)}
    tensors = [(tensor, ids) for tensor, ids in tensors if id(tensor) in inside]
    every = keras.Model(model.inputs, [tensor for tensor, _ in tensors])
    images = tf.random.stateless_normal((64, 5, 5, 2), (0, 1), dtype=tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(images)
        values = every(images, training=False)
        weights = tf.random.stateless_normal(values[-1].shape, (2, 3), dtype=tf.float64)
        total = tf.reduce_sum(values[-1] * weights)
    gradients = tape.gradient(total, values, unconnected_gradients="zero")
    alive = set()
    for (_, ids), value, gradient in zip(tensors, values, gradients, strict=True):
        axes = tuple(range(value.ndim - 1))
        varies = np.ptp(value.numpy(), axis=axes) > 1e-9
        used = np.abs(gradient.numpy()).max(axis=axes) > 0
        alive |= {classes.find(i) for i, yes in zip(ids, varies & used, strict=True) if yes}
    return alive
