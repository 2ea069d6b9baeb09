"""Any Keras model in: custom layers, unusual inputs, and the same model out again."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_models import all_true, functional, through_a_file

import keras_tickets as kt

RNG = np.random.default_rng(0)
X = RNG.normal(size=(6, 8)).astype("float32")
register = keras.saving.register_keras_serializable("any_model")


@register
class Block(keras.layers.Layer):
    """Sublayers, and no `build` nor `get_config`."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.fc = keras.layers.Dense(8)
        self.inside = [keras.layers.Dense(8), keras.layers.LayerNormalization()]

    def call(self, x, other=None):
        x = x + self.fc(x if other is None else other)
        for layer in self.inside:
            x = layer(x)
        return x


@pytest.mark.parametrize("in_place", [False, True])
def test_layers_without_build(in_place, tmp_path):
    inputs = keras.Input((8,))
    x = Block(name="block")(inputs)
    x = Block(name="two")(x, other=inputs)
    dense = keras.Model(inputs, x)
    expected = dense(X)
    model = all_true(dense, in_place=in_place)
    assert list(model.masks)[:2] == ["block/dense/kernel", "block/dense_1/kernel"]
    loaded = through_a_file(model, tmp_path)
    assert list(loaded.masks) == list(model.masks)
    for each in (model, loaded, kt.strip(loaded)):
        np.testing.assert_array_equal(each(X), expected)


def test_what_was_changed_after_masking_is_not_saved(tmp_path):
    model = kt.sparsify(functional(keras.layers.Dense(4, name="fc")), 0.5)
    for refused in (
        lambda: model.quantize("int8"),
        lambda: model.get_layer("fc").quantize("int8"),
        lambda: model.get_layer("fc").enable_lora(2),
    ):
        with pytest.raises(ValueError, match="kt.strip"):
            refused()
    model.save(tmp_path / "model.keras")
    model.get_layer("fc").layer.enable_lora(2)
    before = (tmp_path / "model.keras").read_bytes()
    with pytest.raises(ValueError, match=r"(?s)is not saved.*\['fc'\].*kt.strip"):
        model.save(tmp_path / "model.keras")
    assert (tmp_path / "model.keras").read_bytes() == before
    kt.strip(kt.sparsify(functional(keras.layers.Dense(4)), 0.5)).quantize("int8")


@register
class Tokens(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.embedding = keras.layers.Embedding(30000, 4)
        self.out = keras.layers.Dense(3, dtype="float32")

    def call(self, ids, weights=None, mask=None):
        x = self.embedding(ids)
        x = x if weights is None else x * keras.ops.cast(weights, x.dtype)[..., None]
        x = x if mask is None else x * keras.ops.cast(mask, x.dtype)[..., None]
        return self.out(keras.ops.mean(x, 1))


IDS = np.array([[2049, 5001, 20003, 25001], [2051, 5003, 20005, 29999]], "int32")


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_integers_of_a_subclassed_model_stay_integers(policy, tmp_path):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        dense = Tokens()
        expected = dense(IDS)
        model = all_true(dense)
        assert model.input.dtype == "int32"
        plain = kt.strip(through_a_file(model, tmp_path))
        for each in (model, plain, all_true(plain)):
            np.testing.assert_array_equal(each(IDS), expected)
    finally:
        keras.config.set_dtype_policy(before)


@pytest.mark.parametrize("name", ["weights", "mask"])
def test_optional_arguments_of_a_subclassed_model(name):
    dense, extra = Tokens(), np.array([[1, 0, 1, 1], [1, 1, 0, 0]], "float32")
    expected = dense(IDS, **{name: extra}), dense(IDS)
    model = all_true(dense)
    np.testing.assert_array_equal(model(IDS, **{name: extra}), expected[0])
    np.testing.assert_array_equal(model(IDS), expected[1])


@register
class OfAnyNumber(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.fc = keras.layers.Dense(3)

    def call(self, *parts, scale):
        return sum(self.fc(part) for part in parts) * scale


def test_arguments_without_names_and_by_name_alone():
    dense = OfAnyNumber()
    dense(keras.Input((8,)), keras.Input((8,)), scale=keras.Input((1,)))
    model = all_true(dense)
    call = {"scale": X[:, :1]}
    for each in (model, kt.strip(model)):
        np.testing.assert_array_equal(each(X, X, **call), dense(X, X, **call))
        assert kt.flops(each).inference > 0


@register
class Words(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.lookup = keras.layers.StringLookup(vocabulary=["a", "b", "c"], output_mode="one_hot")
        self.out = keras.layers.Dense(2)

    def call(self, words):
        return self.out(self.lookup(words))


def test_strings_in_a_subclassed_model(tmp_path):
    dense, words = Words(), tf.constant([["a"], ["c"]])
    expected = dense(words)
    model = all_true(dense)
    assert model.input.dtype == "string"
    for each in (model, through_a_file(model, tmp_path), kt.strip(model)):
        np.testing.assert_array_equal(each(words), expected)


class Vision(keras.layers.Layer):
    """Weights that are joined, added, looked up, scaled, and multiplied."""

    def build(self, shape):
        for name, size in {
            "a": (1, 1, 4),
            "b": (9, 4),
            "c": (2, 4),
            "d": (1, 4),
            "w": (4, 4),
        }.items():
            setattr(self, name, self.add_weight(shape=size, name=name))

    def call(self, x):
        first = keras.ops.broadcast_to(self.a, (keras.ops.shape(x)[0], 1, 4))
        x = keras.ops.concatenate([first, x], 1) + self.b
        kind = keras.ops.cast(x[:, :, 0] > 0, "int32")
        return ((x + keras.ops.take(self.c, kind, axis=0)) * self.d) @ keras.ops.transpose(self.w)


def test_what_is_added_or_looked_up_is_no_kernel_unless_asked_for():
    inputs = keras.Input((8, 4))
    dense = keras.Model(inputs, Vision(name="v")(inputs))
    assert [row.path for row in kt.plan(dense, 0.5).rows] == ["v/w"]
    assert all("not multiplied" in reason for _, reason in kt.plan(dense, 0.5).skipped)
    assert list(kt.sparsify(dense, 0.5, filters="v/[bw]").masks) == ["v/b", "v/w"]


def test_the_wrapper_is_used_as_its_layer():
    dense = functional(keras.layers.Dense(4, "relu", name="fc"))
    model = kt.sparsify(dense, 0.5)
    ours, theirs = model.get_layer("fc"), dense.get_layer("fc")
    assert (ours.units, ours.kernel.shape, ours.count_params()) == (4, (8, 4), 36)
    assert [v.path for v in model.weights] == [v.path for v in dense.weights]
    ours.set_weights(theirs.get_weights())
    kernel, bias = ours.get_weights()
    np.testing.assert_array_equal(kernel, np.where(model.masks["fc/kernel"], theirs.kernel, 0))
    ours.activation = keras.activations.linear
    assert ours.layer.activation is keras.activations.linear
    with pytest.raises(AttributeError, match="nothing"):
        _ = ours.nothing
    masks = model.masks
    model.set_weights(dense.get_weights())
    assert model.count_params() == dense.count_params()
    model.set_weights(model.get_weights())
    for path, mask in model.masks.items():
        np.testing.assert_array_equal(mask, masks[path])


def test_callbacks_that_walk_over_weights(tmp_path):
    model = kt.sparsify(functional(keras.layers.Dense(4, name="fc")), 0.5)
    model.compile("sgd", "mse")
    board = keras.callbacks.TensorBoard(tmp_path, histogram_freq=1, write_images=True)
    model.fit(X, X[:, :2], verbose=0, callbacks=[board])
    assert list(tmp_path.rglob("events*"))
