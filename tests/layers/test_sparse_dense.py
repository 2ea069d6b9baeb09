"""`kt.layers.SparseDense` against a Dense layer whose kernel is 0 off the positions."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from networks import LOSS, labeled
from slow_cases import slow_unless

import keras_tickets as kt
from keras_tickets._keras_compat import made_without_weights

ENGINES = ("tensorflow", "numba")
RNG = np.random.default_rng(0)


def network(engine="auto", shape=(12,), model=keras.Model, dtype=None, **arguments):
    inputs = keras.Input(shape)
    x = kt.layers.SparseDense(
        16, 0.8, activation="relu", engine=engine, name="fc1", seed=1, dtype=dtype, **arguments
    )(inputs)
    return model(inputs, keras.layers.Dense(3, name="head")(x))


def dense_twin(model):
    """The same network with a Dense layer, and the positions of its zeros."""
    layer = model.get_layer("fc1")
    twin = keras.Sequential(
        [
            keras.Input(model.input_shape[1:]),
            keras.layers.Dense(16, "relu", kernel_regularizer=layer.kernel_regularizer, name="fc1"),
            keras.layers.Dense(3, name="head"),
        ]
    )
    record = layer.masked_kernels[0]
    twin.layers[0].set_weights([record.to_dense(), layer.bias.numpy()])
    twin.layers[1].set_weights(model.get_layer("head").get_weights())
    return twin, record.to_mask()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("shape", [(12,), (2, 3, 12)])
def test_outputs_are_those_of_the_dense_layer(engine, shape):
    model = network(engine, shape)
    twin, _ = dense_twin(model)
    for batch in (0, 1, 5):
        x = RNG.normal(size=(batch, *shape)).astype("float32")
        np.testing.assert_allclose(model(x), twin(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "model",
    slow_unless(lambda model: model is kt.SparseModel, [keras.Model, kt.SparseModel]),
)
def test_fit_is_that_of_the_masked_network(engine, model):
    x, y = labeled(80, inputs=12)
    ours = network(engine, model=model, kernel_regularizer=keras.regularizers.L2(0.01))
    twin, mask = dense_twin(ours)
    masked = kt.sparsify(twin, {"fc1": 0.5}, mask="magnitude")
    kt.set_masks(masked, {"fc1/kernel": mask})
    for each in (ours, masked):
        each.compile(keras.optimizers.Adam(0.01), LOSS)
        each.fit(x, y, epochs=3, batch_size=32, shuffle=False, verbose=0)
    found, wanted = ours.predict(x, verbose=0), masked.predict(x, verbose=0)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(
        ours.get_layer("fc1").masked_kernels[0].to_dense(),
        masked.layers[1].masked_kernels[0].to_dense(),
        atol=1e-4,
    )


def test_first_positions_are_those_of_the_masked_layer():
    layer = kt.layers.SparseDense(16, 0.8, name="fc1", seed=1)
    layer.build((None, 12))
    masked = kt.layers.Sparse(keras.layers.Dense(16, name="fc1"), 0.8, mask="random", seed=1)
    masked.build((None, 12))
    np.testing.assert_array_equal(
        layer.masked_kernels[0].to_mask(), masked.masked_kernels[0].to_mask()
    )


def test_no_variable_has_the_size_of_the_kernel():
    model = network(model=kt.SparseModel)
    model.compile(keras.optimizers.Adam(), LOSS)
    x, y = labeled(8, inputs=12)
    model.fit(x, y, verbose=0)
    count = model.get_layer("fc1").values.shape[0]
    assert count == 12 * 16 - int(0.8 * 12 * 16)
    sizes = {v.shape.num_elements() for v in (*model.variables, *model.optimizer.variables)}
    assert 12 * 16 not in sizes and count in sizes


def test_variances_are_by_each_units_own_connections():
    values = {}
    for name in (None, "he_normal", keras.initializers.VarianceScaling(2.0, seed=7)):
        layer = kt.layers.SparseDense(500, 0.98, kernel_initializer=name, seed=2, name="fc")
        layer.build((None, 1000))
        fan_in = np.bincount(layer.indices.numpy() % 500, minlength=500)
        scaled = layer.values.numpy() * np.sqrt(fan_in[layer.indices.numpy() % 500] / 2)
        assert abs(scaled.std() - 1) < 0.05
        values[str(name)] = scaled
    layer = kt.layers.SparseDense(5, 0.5, kernel_initializer="ones")
    layer.build((None, 4))
    assert (layer.values.numpy() == 1).all()


@pytest.mark.parametrize("dtype", ["float64", "mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("engine", slow_unless(lambda engine: engine == "tensorflow", ENGINES))
def test_dtype_policies(dtype, engine):
    model = network(engine, dtype=dtype)
    layer = model.get_layer("fc1")
    x = RNG.normal(size=(5, 12)).astype("float32")
    outputs = layer(x)
    assert outputs.dtype == layer.compute_dtype and layer.values.dtype == layer.variable_dtype
    expected = np.maximum(x @ layer.masked_kernels[0].to_dense(), 0)
    np.testing.assert_allclose(tf.cast(outputs, "float32"), expected, atol=0.05)
    model.compile("sgd", LOSS)
    model.fit(x, np.zeros(5), verbose=0)


def test_refusals():
    with pytest.raises(ValueError, match="`dtype` must have variables of one of"):
        kt.layers.SparseDense(4, 0.5, dtype="float16")
    with pytest.raises(ValueError, match="`engine` must be one of"):
        kt.layers.SparseDense(4, 0.5, engine="cuda")
    with pytest.raises(ValueError, match="`units` must be a positive integer"):
        kt.layers.SparseDense(0, 0.5)
    with pytest.raises(ValueError, match="must have a known size"):
        kt.layers.SparseDense(4, 0.5)(keras.Input((None,)))


@keras.saving.register_keras_serializable("sparse_dense")
class Subclassed(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.hidden = kt.layers.SparseDense(16, 0.8, "relu", name="fc1", seed=1)
        self.head = keras.layers.Dense(3, name="head")

    def call(self, x):
        return self.head(self.hidden(x))


def saved_model(kind):
    if kind == "subclassed":
        model = Subclassed()
        model(np.zeros((1, 12), "float32"))
        return model
    if kind == "sequential":
        return keras.Sequential([keras.Input((12,)), *network().layers[1:]])
    return network(model=kt.SparseModel if kind == "sparse model" else keras.Model)


@pytest.mark.parametrize(
    "kind",
    slow_unless(
        lambda kind: kind == "sparse model",
        ["sequential", "functional", "sparse model", "subclassed"],
    ),
)
def test_saving(kind, tmp_path):
    model, (x, y) = saved_model(kind), labeled(40, inputs=12)
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), LOSS)
    model.fit(x, y, verbose=0)
    layer = next(la for la in model.layers if isinstance(la, kt.layers.SparseDense))
    # As a method that changes the positions leaves them.
    layer.masked_kernels[0].set(layer.masked_kernels[0].to_mask()[::-1])
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    for each in (model, loaded):
        each.fit(x, y, shuffle=False, verbose=0)
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    model.save_weights(tmp_path / "m.weights.h5")
    other = saved_model(kind)
    other.load_weights(tmp_path / "m.weights.h5")
    np.testing.assert_array_equal(other.predict(x, verbose=0), model.predict(x, verbose=0))
    found = saved_model(kind)
    found.set_weights(model.get_weights())
    np.testing.assert_array_equal(found.predict(x, verbose=0), model.predict(x, verbose=0))


def test_damaged_indices_are_named_and_change_nothing():
    layer = kt.layers.SparseDense(4, 0.5, name="fc")
    layer.build((None, 4))
    store, before = {}, layer.get_weights()
    layer.save_own_variables(store)
    for indices, reason in (
        (store["indices"][::-1], "must be ascending"),
        (store["indices"] + 16, r"in \[0, 16\)"),
        (store["indices"] * 1.0, "must be integers"),
    ):
        with pytest.raises(ValueError, match=f"indices of layer 'fc'.*{reason}"):
            layer.load_own_variables({**store, "indices": indices})
    with pytest.raises(ValueError, match="is stored as"):
        layer.load_own_variables({"0": store["values"]})
    with pytest.raises(ValueError, match="values of layer 'fc' have shape"):
        layer.load_own_variables({**store, "values": store["values"][:2]})
    for now, then in zip(layer.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_a_model_can_be_made_without_weights():
    model = network(model=kt.SparseModel)
    made = made_without_weights(keras.saving.serialize_keras_object(model), {})
    assert [v.shape for v in made.variables] == [v.shape for v in model.variables]


def test_moved_positions_take_values_and_slots_along():
    model = network(model=kt.SparseModel)
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), LOSS)
    x, y = labeled(40, inputs=12)
    model.fit(x, y, verbose=0)
    record = model.get_layer("fc1").masked_kernels[0]
    (slot, _), *_ = record.slots
    before, old, momentum = record.to_mask(), record.to_dense(), slot.numpy()
    mask = before.copy()
    mask[np.unravel_index(record.indices.numpy()[:5], mask.shape)] = False
    free = np.flatnonzero(~before)[[0, 3, 7, 20, -1]]
    mask.reshape(-1)[free] = True
    kt.set_masks(model, {"fc1/kernel": mask})
    np.testing.assert_array_equal(record.to_mask(), mask)
    np.testing.assert_array_equal(record.to_dense(), np.where(mask & before, old, 0))
    assert np.isin(slot.numpy(), [0, *momentum[5:]]).all()
    whole = np.zeros(mask.size, "float32")
    whole[record.indices.numpy()] = slot.numpy()
    assert (whole[free] == 0).all() and np.count_nonzero(whole) == np.count_nonzero(momentum[5:])
    with pytest.raises(ValueError, match="stored sparsely and always has"):
        kt.set_masks(model, {"fc1/kernel": np.ones_like(mask)})
    np.testing.assert_array_equal(record.to_mask(), mask)


@pytest.mark.parametrize("begin", ["call", "fit", "graph"])
def test_weights_of_a_subclassed_model_are_those_of_a_layer_built_at_once(begin):
    """Keras builds its layers in a graph and asks for their values later."""

    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__()
            self.fc1 = kt.layers.SparseDense(16, 0.8, name="fc1", seed=1)

        def call(self, inputs):
            return self.fc1(inputs)

    x, model = RNG.normal(size=(4, 12)), Subclassed()
    if begin == "fit":
        model.compile(keras.optimizers.SGD(0.0), "mse")
        model.fit(x, np.zeros((4, 16)), verbose=0)
    else:
        (tf.function(model) if begin == "graph" else model)(tf.constant(x))
    wanted = network().get_layer("fc1")
    np.testing.assert_array_equal(model.fc1.indices, wanted.indices)
    np.testing.assert_array_equal(model.fc1.values, wanted.values)
