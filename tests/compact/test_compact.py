"""Dead units and channels go, and the outputs stay."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_tickets as kt
from keras_tickets.compact import compact, compaction_report


def random_inputs(model, seed=1, batch=4):
    random = np.random.default_rng(seed)
    return [
        random.normal(size=(batch, *tensor.shape[1:])).astype("float32") for tensor in model.inputs
    ]


def assert_same_outputs(model, smaller, tolerance=1e-5):
    inputs = random_inputs(model)
    inputs = inputs[0] if len(inputs) == 1 else inputs
    expected = keras.tree.flatten(model(inputs, training=False))
    actual = keras.tree.flatten(smaller(inputs, training=False))
    for a, b in zip(expected, actual, strict=True):
        a, b = np.asarray(a), np.asarray(b)
        assert a.shape == b.shape
        assert np.abs(a - b).max() <= tolerance * max(1.0, np.abs(a).max())


def randomize(model, seed=0):
    """Random values for all variables, biases and statistics included; positive where they must."""
    random = np.random.default_rng(seed)
    for variable in model.weights:
        if "seed" in variable.path:
            continue
        values = random.normal(size=variable.shape)
        if "variance" in variable.path or "gamma" in variable.path:
            values = 0.5 + np.abs(values)
        elif len(variable.shape) > 1:
            values /= np.sqrt(np.prod(variable.shape[:-1]))
        variable.assign(values)
    return model


def kill(layer, channels, bias=None):
    """Takes all weights into some output channels of a layer, and sets their bias."""
    kernel = layer.kernel.numpy()
    kernel[..., channels] = 0
    layer.kernel.assign(kernel)
    if bias is not None:
        values = layer.bias.numpy()
        values[channels] = bias
        layer.bias.assign(values)


def disuse(layer, channels):
    """Takes all weights out of some input channels of a layer."""
    kernel = layer.kernel.numpy()
    kernel[..., channels, :] = 0
    layer.kernel.assign(kernel)


def sizes(model):
    return {
        layer.name: layer.kernel.shape[-1]
        for layer in model.layers
        if getattr(layer, "kernel", None) is not None
    }


def reasons(model):
    return {(entry.path, entry.channels, entry.reason) for entry in compaction_report(model).stayed}


def test_dense_units_with_no_input_and_with_no_use_go_and_constants_are_folded():
    inputs = keras.Input((6,))
    x = layers.Dense(8, "sigmoid", name="a")(inputs)
    x = layers.Dense(5, "relu", use_bias=False, name="b")(x)
    model = randomize(keras.Model(inputs, layers.Dense(3, name="c")(x), name="net"))
    kill(model.get_layer("a"), [1, 2], bias=0.7)
    disuse(model.get_layer("b"), [4])
    smaller = compact(model)
    assert sizes(smaller) == {"a": 5, "b": 5, "c": 3}
    assert smaller.get_layer("b").use_bias and not model.get_layer("b").use_bias
    assert smaller.count_params() == 6 * 5 + 5 + 5 * 5 + 5 + 5 * 3 + 3
    assert smaller.name == "net"
    assert_same_outputs(model, smaller)


def test_removal_goes_on_upstream_and_downstream():
    inputs = keras.Input((4,))
    x = layers.Dense(6, "relu", name="a")(inputs)
    x = layers.Dense(6, "tanh", name="b")(x)
    x = layers.Dense(6, "tanh", name="c")(x)
    model = randomize(keras.Model(inputs, layers.Dense(2, name="d")(x)))
    only_for_0 = model.get_layer("b").kernel.numpy()
    only_for_0[2, 1:] = 0
    model.get_layer("b").kernel.assign(only_for_0)
    disuse(model.get_layer("c"), [0])
    kill(model.get_layer("a"), [5], bias=2.0)
    only_from_5 = model.get_layer("b").kernel.numpy()
    only_from_5[:5, 4] = 0
    model.get_layer("b").kernel.assign(only_from_5)
    smaller = compact(model)
    assert sizes(smaller) == {"a": 4, "b": 4, "c": 6, "d": 2}
    assert_same_outputs(model, smaller)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("reader", [layers.Conv2D, layers.Conv2DTranspose])
def test_where_zeros_are_padded_one_constant_stays_for_all(padding, reader):
    inputs = keras.Input((6, 6, 2))
    x = layers.Conv2D(6, 3, activation="sigmoid", name="a")(inputs)
    model = randomize(keras.Model(inputs, reader(3, 3, strides=2, padding=padding, name="b")(x)))
    kill(model.get_layer("a"), [1, 2, 5])
    transposed = reader is layers.Conv2DTranspose
    (kill if transposed else disuse)(model.get_layer("b"), [0])
    stays = padding == "same" or transposed
    assert sizes(compact(model))["a"] == (3 if stays else 2)
    expected = {("b", 1, "a constant other than 0 meets zero padding")} if stays else set()
    assert reasons(model) == expected
    assert_same_outputs(model, compact(model))


def test_a_constant_of_zero_goes_through_padding():
    inputs = keras.Input((6, 6, 2))
    x = layers.Conv2D(4, 3, activation="relu", name="a")(inputs)
    x = layers.ZeroPadding2D(1)(x)
    model = randomize(keras.Model(inputs, layers.Conv2D(3, 3, padding="same", name="b")(x)))
    kill(model.get_layer("a"), [0, 3], bias=-1.0)
    smaller = compact(model)
    assert sizes(smaller) == {"a": 2, "b": 3} and reasons(model) == set()
    assert_same_outputs(model, smaller)


def test_through_add_a_channel_goes_only_if_dead_in_all_branches():
    inputs = keras.Input((4,))
    a = layers.Dense(6, name="a")(inputs)
    b = layers.Dense(6, name="b")(inputs)
    x = layers.ReLU()(layers.Add(name="add")([a, b]))
    model = randomize(keras.Model(inputs, layers.Dense(2, name="c")(x)))
    kill(model.get_layer("a"), [0, 1, 2], bias=0.5)
    kill(model.get_layer("b"), [1, 2, 3], bias=0.25)
    smaller = compact(model)
    assert sizes(smaller) == {"a": 4, "b": 4, "c": 2}
    assert reasons(model) == {("add", 1, "live in another branch")}
    assert_same_outputs(model, smaller)


def test_a_branch_of_zeros_goes_with_its_layers():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, padding="same", name="stem")(inputs)
    y = layers.Conv2D(4, 3, padding="same", use_bias=False, name="branch1")(x)
    y = layers.Conv2D(4, 3, padding="same", use_bias=False, name="branch2")(layers.ReLU()(y))
    model = randomize(keras.Model(inputs, layers.Flatten()(layers.Add()([x, y]))))
    kill(model.get_layer("branch2"), slice(None))
    smaller = compact(model)
    assert sizes(smaller) == {"stem": 4}
    rows = {row.path: row.compact_shape for row in compaction_report(model).rows}
    assert rows == {"stem/kernel": (3, 3, 3, 4), "branch1/kernel": None, "branch2/kernel": None}
    assert_same_outputs(model, smaller)


def test_a_layer_that_is_dead_as_a_whole_keeps_one_unit():
    inputs = keras.Input((4,))
    x = layers.Dense(6, "relu", name="a")(inputs)
    x = layers.Dense(6, "sigmoid", name="b")(x)
    model = randomize(keras.Model(inputs, layers.Dense(2, name="c")(x)))
    kill(model.get_layer("b"), slice(None))
    smaller = compact(model)
    assert sizes(smaller) == {"a": 1, "b": 1, "c": 2}
    assert {path for path, _, reason in reasons(model) if "at least one" in reason} == {"a", "b"}
    assert_same_outputs(model, smaller)


def test_nothing_dead_nothing_changes():
    model = randomize(kt.models.lenet_300_100())
    report = compaction_report(model)
    assert report.parameters == report.compact_parameters == model.count_params()
    assert report.stayed == [] and all(row.shape == row.compact_shape for row in report.rows)
    smaller = compact(model)
    for a, b in zip(model.get_weights(), smaller.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_addition_called_twice_may_be_dropped_in_one_place_only():
    inputs = keras.Input((4,))
    add = layers.Add()
    a = layers.Dense(4, name="a")(inputs)
    b = layers.Dense(4, name="b")(inputs)
    x = add([add([inputs, a]), b])
    model = randomize(keras.Model(inputs, layers.Dense(2, name="c")(x)))
    kill(model.get_layer("a"), slice(None), bias=0.0)
    smaller = compact(model)
    assert sizes(smaller) == {"b": 4, "c": 2}
    assert_same_outputs(model, smaller)
