"""Copies of layers: their attributes, state and functions come along."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_models import all_true, functional, through_a_file

import keras_tickets as kt

RNG = np.random.default_rng(0)
X = RNG.normal(size=(6, 8)).astype("float32")
register = keras.saving.register_keras_serializable("copies")


@register
class Holder(keras.layers.Layer):
    """Says in its configuration what is inside it."""

    def __init__(self, inside, **kwargs):
        super().__init__(**kwargs)
        self.inside = [
            each if isinstance(each, keras.layers.Layer) else keras.layers.deserialize(each)
            for each in inside
        ]

    def call(self, x):
        for layer in self.inside:
            x = layer(x)
        return x

    def get_config(self):
        inside = [keras.layers.serialize(layer) for layer in self.inside]
        return {**super().get_config(), "inside": inside}


@register
class Stateful(keras.layers.Layer):
    """State of each kind that is no Keras variable."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.saved, self.plain = np.ones(8, "float32"), 1.0
        self.variable = tf.Variable(tf.ones(8), trainable=False)
        self.table = tf.lookup.experimental.MutableHashTable(tf.int64, tf.float32, 1.0)

    def call(self, x):
        looked_up = tf.reshape(self.table.lookup(tf.constant([3], tf.int64)), (1,))
        return x * self.saved * self.plain * self.variable + looked_up

    def save_own_variables(self, store):
        store["saved"] = self.saved

    def load_own_variables(self, store):
        self.saved = np.array(store["saved"])


def test_state_that_is_no_keras_variable():
    layer = Stateful()
    dense = functional(layer)
    layer.saved, layer.plain = np.arange(8, dtype="float32"), 0.5
    layer.variable.assign(tf.range(8.0))
    layer.table.insert(tf.constant([3], tf.int64), [7.0])
    model = all_true(dense)
    for each in (model, kt.strip(model)):
        np.testing.assert_array_equal(each(X), dense(X))
    layer.variable.assign(tf.zeros(8))
    assert np.any(model(X) != dense(X)), "the state is shared"


@register
class Switched(keras.Model):
    """Attributes of many kinds; which layers are called depends on an argument."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.one, self.two = keras.layers.Dense(3), keras.layers.Dense(3)
        self.settings, self.shifts = {"scale": 1.0, 2: None}, [0.0, [0.0]]
        self.by_layer = {self.one: 1, self.two: 2}

    def call(self, x, other=False):
        x = self.two(x) if other else self.one(x)
        return x * self.settings["scale"] + self.shifts[1][0]


def test_a_compiled_model_and_attributes_that_were_changed():
    dense = Switched()
    dense.compile("adam", "mse")
    dense.fit(X, X[:, :3], verbose=0)
    dense.settings["scale"], dense.shifts[1][0] = 3.0, 5.0
    model = all_true(dense)
    np.testing.assert_array_equal(model(X), dense(X))
    model.get_layer(dense.name).settings["scale"] = 1.0
    assert dense.settings["scale"] == 3.0


def test_layers_that_only_another_call_uses(tmp_path):
    dense = Switched()
    dense(X), dense(X, other=True)
    model = all_true(dense)
    assert list(model.masks) == ["dense/kernel", "dense_1/kernel"]
    for other in (False, True):
        np.testing.assert_array_equal(model(X, other=other), dense(X, other=other))
    with pytest.raises(ValueError, match="is not saved.*`build` that makes all their weights"):
        model.save(tmp_path / "model.keras")


@register
class OfValues(keras.layers.Layer):
    """Its weight is made from a value, and others have no names."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.w = keras.Variable(np.eye(8, dtype="float32"), name="w")

    def build(self, input_shape):
        self.more = [self.add_weight(shape=(8, 8)) for _ in range(2)]

    def call(self, x):
        return x @ self.w @ self.more[0] @ self.more[1]


def test_variables_without_names_and_those_made_from_values(tmp_path):
    inputs = keras.Input(batch_shape=(6, 2, 8))
    x = keras.layers.LSTM(8, stateful=True, name="lstm")(inputs)
    dense = keras.Model(inputs, OfValues()(x))
    sequence = np.stack([X, X], 1)
    dense(sequence)
    model = all_true(dense)
    np.testing.assert_array_equal(model(sequence), dense(sequence))
    model.get_layer("lstm").reset_states()
    expected = model(sequence)
    np.testing.assert_array_equal(through_a_file(model, tmp_path)(sequence), expected)


def test_an_adapted_layer_and_a_frozen_part():
    cuts = keras.layers.Discretization(num_bins=4)
    cuts.adapt(RNG.normal(size=(100, 8)))
    part = keras.layers.Dense(8)
    dense = functional(cuts, keras.layers.Rescaling(1.0), Holder([part]))
    part.trainable = False
    model = all_true(dense)
    np.testing.assert_array_equal(model(X), dense(X))
    assert len(model.trainable_variables) == len(dense.trainable_variables)


def test_functions_are_used_as_they_are():
    factor = 2.0
    dense = functional(keras.layers.Lambda(lambda x: x * factor), keras.layers.Dense(4, name="fc"))
    model = all_true(dense)
    for each in (model, kt.strip(model), kt.prune(dense, "magnitude", 0.0), kt.compact(model)):
        np.testing.assert_allclose(each(X), dense(X), rtol=1e-6)
    assert kt.trainers.RewindTrainer(dense, levels=1).model.sparsity == 0.0


def test_code_in_the_configuration_of_a_living_model_is_trusted():
    dense = functional(Holder([keras.layers.Dense(8), keras.layers.Lambda(lambda x: 3 * x)]))
    np.testing.assert_array_equal(all_true(dense)(X), dense(X))


def test_what_the_text_of_a_file_changes_is_not_saved(tmp_path):
    """JSON has no tuples, such as the defaults of a function."""
    scaled = keras.layers.Lambda(lambda x, factor=2.0: x * factor, output_shape=(8,))
    with pytest.raises(ValueError, match="(?s)is not saved.*defaults"):
        all_true(functional(scaled)).save(tmp_path / "model.keras")


@register
class InGraph(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.fc, self.norm = keras.layers.Dense(8), keras.layers.BatchNormalization()

    @tf.function
    def call(self, x, training=False):
        return self.norm(self.fc(x), training=training)


def test_a_call_that_is_a_tensorflow_function_has_the_weights_of_now(tmp_path):
    """Keras itself builds such a model right only by another shape than that of its inputs."""
    dense = InGraph()
    dense(X[:1])
    model = kt.sparsify(dense, 0.5)
    model.compile("sgd", "mse")
    before = model(X).numpy()
    model.fit(X, X, verbose=0)
    expected = model(X).numpy()
    assert np.abs(expected - before).max() > 1e-3
    for each in (through_a_file(model, tmp_path), kt.strip(model)):
        np.testing.assert_allclose(each(X), expected, atol=1e-5)


def test_weights_inside_a_saved_model_are_no_kernels(tmp_path):
    part = keras.Sequential([keras.Input((8,)), keras.layers.Dense(8)])
    part.export(tmp_path / "part", verbose=False)
    dense = functional(
        keras.layers.TFSMLayer(tmp_path / "part", call_endpoint="serve", name="part")
    )
    model = kt.sparsify(dense, {".*": 0.0}, mask="ones")
    assert list(model.masks) == ["head/kernel"]
    assert any("SavedModel" in reason for _, reason in kt.plan(dense, 0.5).skipped)
    np.testing.assert_allclose(model(X), dense(X), rtol=1e-6)
