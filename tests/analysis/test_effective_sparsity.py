"""Effective sparsity, against all paths of small graphs and against flows through real ones."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

import keras_tickets as kt
from keras_tickets._kernels.find import find_kernels

SIZES = (3, 4, 3, 2)


def dense_network(activation="relu"):
    inputs = x = keras.Input((SIZES[0],))
    for i, units in enumerate(SIZES[1:]):
        x = layers.Dense(units, activation, name=f"fc{i}")(x)
    return keras.Model(inputs, x)


@pytest.fixture(scope="module")
def sparse_network():
    return kt.sparsify(dense_network(), 0.0)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.2, 0.8))
def test_all_paths_of_a_dense_network(sparse_network, seed, density):
    random = np.random.default_rng(seed)
    masks = {
        f"fc{i}/kernel": random.random((a, b)) < density
        for i, (a, b) in enumerate(itertools.pairwise(SIZES))
    }
    kt.set_masks(sparse_network, masks)
    expected = {path: np.zeros_like(mask) for path, mask in masks.items()}
    for path in itertools.product(*map(range, SIZES)):
        edges = list(zip(masks, itertools.pairwise(path), strict=True))
        if all(masks[name][edge] for name, edge in edges):
            for name, edge in edges:
                expected[name][edge] = True
    found = kt.analysis.effective_sparsity(sparse_network)
    for name, mask in expected.items():
        np.testing.assert_array_equal(found.masks[name], mask, err_msg=name)
    assert [row.effective for row in found.rows] == [mask.sum() for mask in expected.values()]
    assert [row.nonzeros for row in found.rows] == [mask.sum() for mask in masks.values()]
    assert found.total.effective == sum(mask.sum() for mask in expected.values())
    alive = [expected[f"fc{i}/kernel"].any(axis=0).sum() for i in range(3)]
    assert [row.disconnected for row in found.rows] == [
        units - count for units, count in zip(SIZES[1:], alive, strict=True)
    ]
    assert found.assumed == []


def convolutional():
    """A network with every kind of layer that is followed, and sizes that no border spoils."""
    inputs = keras.Input((8, 8, 2))
    x = layers.Conv2D(4, 3, name="first")(inputs)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    y = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=1, name="depth")(x)
    x = layers.Add()([layers.Conv2D(4, 1, name="skip")(x), layers.Conv2D(4, 1, name="main")(y)])
    y = layers.SeparableConv2D(3, 3, padding="same", name="separable")(x)
    z = layers.Conv2DTranspose(3, 1, name="transposed")(x)
    x = layers.Concatenate()([x, y, z])
    x = layers.MaxPooling2D()(x)
    inner = keras.Sequential([keras.Input((3, 3, 10)), layers.Conv2D(4, 2, name="deep")])
    x = layers.Flatten()(inner(x))
    return keras.Model(inputs, layers.Dense(3, name="head")(x))


def residual():
    return kt.models.resnet20((8, 8, 3), classes=3, width=0.25)


def flowing(plain, present):
    """Weights through which something flows from inputs of ones to the sum of the outputs.

    An oracle that knows nothing of the graph: the gradient by a weight of 1 is positive.
    """
    copy = keras.models.clone_model(plain)
    paths = kt.weight_paths(copy)
    for path, variable in paths.items():
        value = 1.0 if path.endswith(("kernel", "gamma", "variance")) else 0.0
        variable.assign(present.get(path, np.full(variable.shape, value)))
    kernels = [paths[path].value for path in present]
    with tf.GradientTape() as tape:
        outputs = copy(tf.ones((1, *plain.input_shape[1:])), training=False)
        flow = tf.reduce_sum(outputs)
    gradients = tape.gradient(flow, kernels)
    return {p: (g.numpy() > 0) & present[p] for p, g in zip(present, gradients, strict=True)}


@pytest.mark.parametrize(
    "make, density",
    [
        (convolutional, 0.5),
        pytest.param(convolutional, 0.7, marks=pytest.mark.slow),
        pytest.param(residual, 0.15, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_flows_through_a_graph(make, density, seed):
    model, random = make(), np.random.default_rng(seed)
    # Whole filters stay or go: a weight at the border of a filter sees less of a picture.
    masks = {
        k.path: np.broadcast_to(random.random(k.shape[-2:]) < density, k.shape)
        for k in find_kernels(model, filters=".")[0]
    }
    sparse = kt.sparsify(model, 0.0, filters=".")
    kt.set_masks(sparse, masks)
    expected = flowing(kt.strip(sparse), masks)
    found = kt.analysis.effective_sparsity(sparse)
    for path in masks:
        np.testing.assert_array_equal(found.masks[path], expected[path], err_msg=path)
    assert 0 < found.total.effective < found.total.nonzeros
    assert found.assumed == []


def test_zeros_on_the_mask_connect_and_zero_weights_of_a_plain_model_do_not():
    sparse = kt.sparsify(dense_network(), 0.0)
    kernel = sparse.get_layer("fc1").layer.kernel
    kernel.assign(np.eye(4, 3))
    assert kt.analysis.effective_sparsity(sparse).total.effective == 30
    plain = kt.analysis.effective_sparsity(kt.strip(sparse))
    assert [row.effective for row in plain.rows] == [9, 3, 6]  # unit 3 of fc0 leads nowhere
    assert plain.rows[0].disconnected == 1


def test_kernels_without_masks_are_whole():
    sparse = kt.sparsify(dense_network(), {"fc1": 0.0})
    kt.set_masks(sparse, {"fc1/kernel": np.eye(4, 3)})
    sparse.get_layer("fc0").kernel.assign(np.zeros((3, 4)))
    found = kt.analysis.effective_sparsity(sparse)
    assert list(found.masks) == ["fc1/kernel"] and found.total.effective == 3


def test_layers_that_cannot_be_followed_connect_all_and_are_named():
    inputs = keras.Input((4,))
    shared = layers.Dense(4, name="shared")
    x = layers.LayerNormalization(name="norm")(layers.Dense(4, name="a")(inputs))
    x = layers.Dense(3, name="b")(shared(shared(x)))
    sparse = kt.sparsify(keras.Model(inputs, x), 0.0)
    kt.set_masks(sparse, {"a/kernel": np.diag([1, 0, 0, 0]), "b/kernel": np.eye(4, 3)})
    found = kt.analysis.effective_sparsity(sparse)
    assert [row.effective for row in found.rows] == [1, 16, 3]
    assert [path for path, _ in found.assumed] == ["norm", "shared"]
    assert found.rows[1].units == 0
    text = str(found)
    assert "called more than once" in text and "LayerNormalization" in text
    kt.set_masks(sparse, {"a/kernel": np.zeros((4, 4))})
    assert kt.analysis.effective_sparsity(sparse).total.effective == 0


def test_a_softmax_inside_joins_its_units():
    inputs = keras.Input((2,))
    x = layers.Dense(2, "softmax", name="gate")(inputs)
    sparse = kt.sparsify(keras.Model(inputs, layers.Dense(1, name="out")(x)), 0.0)
    kt.set_masks(sparse, {"gate/kernel": [[1, 0], [0, 0]], "out/kernel": [[0], [1]]})
    assert kt.analysis.effective_sparsity(sparse).total.effective == 2


def test_the_model_stays_as_it_is():
    model = dense_network()
    before = model.get_weights()
    kt.analysis.effective_sparsity(model)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_subclassed_model_is_refused():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.fc = layers.Dense(2)

        def call(self, x):
            return self.fc(x)

    model = Own()
    model(np.ones((1, 3)))
    with pytest.raises(ValueError, match="subclassed model.*Build it as a functional model"):
        kt.analysis.effective_sparsity(model)
