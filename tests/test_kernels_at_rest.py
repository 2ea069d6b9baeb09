"""The step of `fit` computes with kernels that are 0 off their masks, and only with such."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from method_recipes import METHODS
from networks import LOSS, labeled, mlp
from slow_cases import slow_unless

import keras_tickets as kt
from keras_tickets.layers import _masked_values

X, Y = labeled(64)
SEQUENCES = np.random.default_rng(0).integers(0, 20, (64, 4))


def batches():
    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(8)


def momentum():
    return keras.optimizers.SGD(0.1, momentum=0.9)


def off_mask(model):
    """What is not 0 off the masks, over all kernels."""
    weights = kt.weight_paths(model)
    return [np.abs(weights[path].numpy()[~mask]).max() for path, mask in model.masks.items()]


@pytest.mark.parametrize(
    "method",
    slow_unless(
        lambda method: method in ("RigL", "GradualMagnitude, regrow", "DNW"),
        ["Static", "RigL", "GradualMagnitude", "GradualMagnitude, regrow", "DNW", "TopKAST"],
    ),
)
def test_masked_kernels_are_formed_where_a_method_trains_weights_off_the_mask(method, monkeypatch):
    model = METHODS[method].sparsify(mlp(), 0.7)
    model.compile(METHODS[method].make(momentum(), update_every=4, end=8), LOSS)
    formed, apply_mask = [], _masked_values.apply_mask

    def record(*args):
        formed.extend(_masked_values._scopes.collected)  # That of a tape, if one is open.
        return apply_mask(*args)

    monkeypatch.setattr(_masked_values, "apply_mask", record)
    model.fit(batches(), verbose=0)
    assert bool(formed) == model.optimizer.trains_off_mask


def twice():
    inputs, shared = keras.Input((10,)), keras.layers.Dense(10, "tanh", name="shared")
    return keras.Model(inputs, keras.layers.Dense(3, name="head")(shared(shared(inputs))))


def regularized():
    return mlp(kernel_regularizer=keras.regularizers.OrthogonalRegularizer(0.1), hidden=(3,))


def sequences():
    inputs = keras.Input((4,), dtype="int32")
    x = keras.layers.GRU(6, name="gru")(keras.layers.Embedding(20, 8, name="embedding")(inputs))
    return keras.Model(inputs, keras.layers.Dense(3, name="head")(x))


@pytest.mark.parametrize(
    "make, jit_compile",
    [
        pytest.param(mlp, False, marks=pytest.mark.slow),
        pytest.param(twice, True, marks=pytest.mark.slow),
        (regularized, False),
        pytest.param(sequences, False, marks=pytest.mark.slow),
        pytest.param(sequences, True, marks=pytest.mark.slow),
    ],
)
def test_the_step_is_that_on_masked_kernels(make, jit_compile):
    """`train_step` outside of `fit` forms them."""
    x = SEQUENCES if make is sequences else X
    data = tf.data.Dataset.from_tensor_slices((x, Y)).batch(8).repeat(2)
    models = []
    for _ in range(2):
        keras.utils.set_random_seed(1)
        models.append(model := kt.sparsify(make(), 0.5, filters=".*", distribution="uniform"))
        optimizer = kt.optimizers.RigL(momentum(), update_every=5, end=100)
        model.compile(optimizer, LOSS, steps_per_execution=4, jit_compile=jit_compile)
    before = models[0].masks
    models[0].fit(data, verbose=0)
    step = tf.function(models[1].train_step, jit_compile=jit_compile)
    models[1].optimizer.build(models[1].trainable_variables)
    models[1].optimizer.set_total_steps(16)
    for batch in data:
        step(batch)
    assert any(np.any(before[path] != mask) for path, mask in models[0].masks.items())
    for path, mask in models[0].masks.items():
        np.testing.assert_array_equal(mask, models[1].masks[path])
    for ours, theirs in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-5)
    assert off_mask(models[0]) == off_mask(models[1]) == [0.0] * len(before)


class Disturb(keras.callbacks.Callback):
    """Assigns kernels and slots between two calls, off the masks too or on them alone."""

    def __init__(self, everywhere):
        super().__init__()
        self.everywhere = everywhere

    def on_train_batch_end(self, batch, logs=None):
        for state in self.model.optimizer.kernel_states:
            added = np.ones(state.masked.kernel.shape) * (
                self.everywhere | state.masked.mask.numpy()
            )
            for variable in (state.masked.kernel, *(slot for slot, _ in state.slots)):
                variable.assign_add(added)


@pytest.mark.parametrize(
    "arguments",
    slow_unless(
        lambda arguments: "steps_per_execution" in arguments,
        [{}, {"steps_per_execution": 2}, {"run_eagerly": True}, {"jit_compile": True}],
    ),
)
def test_what_is_assigned_between_calls_is_masked(arguments):
    models = [kt.sparsify(mlp(), 0.7) for _ in range(2)]
    for model, everywhere in zip(models, (True, False), strict=True):
        model.compile(kt.optimizers.Static(momentum()), LOSS, **arguments)
        model.fit(batches(), verbose=0, callbacks=[Disturb(everywhere)])
        if everywhere:
            assert max(off_mask(model)) > 0
        model.train_on_batch(X, Y)
        assert off_mask(model) == [0.0, 0.0]
    for ours, theirs in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_frozen_kernels_are_masked():
    model = kt.sparsify(mlp(), 0.7)
    model.get_layer("fc1").trainable = False
    model.compile(momentum(), LOSS, steps_per_execution=2)
    disturb = keras.callbacks.LambdaCallback(
        on_train_begin=lambda logs: model.get_layer("fc1").kernel.assign_add(np.ones((10, 16)))
    )
    before = kt.strip(model)
    before.get_layer("fc1").kernel.assign_add(model.masks["fc1/kernel"].astype("float32"))
    before.compile(momentum(), LOSS)
    before.get_layer("fc1").trainable = False
    expected = before.evaluate(X, Y, verbose=0)
    found = model.fit(X, Y, batch_size=64, verbose=0, callbacks=[disturb]).history["loss"]
    assert found == [pytest.approx(expected, rel=1e-5)]


class Noisy(kt.SparseModel):
    """Adds to kernels after each step, off the masks too or on them alone."""

    everywhere = False

    def train_step(self, data):
        logs = super().train_step(data)
        for state in self.optimizer.kernel_states:
            mask = tf.cast(state.masked.mask.value, "float32")
            state.masked.kernel.assign_add(tf.ones_like(mask) if self.everywhere else mask)
        return logs


def test_a_step_of_ones_own_is_on_masked_kernels():
    losses = []
    for everywhere in (True, False):
        model = Noisy(kt.sparsify(mlp(), 0.7))
        model.everywhere = everywhere
        model.compile(kt.optimizers.Static("sgd"), LOSS, steps_per_execution=4)
        losses.append(model.fit(batches(), verbose=0).history["loss"])
    assert losses[0] == losses[1]


@keras.saving.register_keras_serializable("tests")
class Shifting(keras.layers.Dense):
    """Moves its own kernel whenever it is called."""

    def call(self, inputs):
        outputs = super().call(inputs)
        self.kernel.assign(self.kernel + 0.1)
        return outputs


def test_what_layers_assign_to_their_kernels_is_masked():
    inputs = keras.Input((10,))
    model = kt.sparsify(keras.Model(inputs, Shifting(3)(inputs)), 0.7)
    model.compile(kt.optimizers.Static("sgd"), LOSS, steps_per_execution=4)
    model.fit(batches(), verbose=0)
    assert off_mask(model) == [0.0]
    assert np.abs(model.get_weights()[0]).max() > 0.5


@pytest.mark.parametrize(
    "inner",
    [
        lambda: keras.optimizers.Adam(0.01, epsilon=0.0),
        lambda: keras.optimizers.Ftrl(0.01, initial_accumulator_value=0.0),
    ],
)
def test_inner_optimizers_that_divide_by_zero_off_the_mask(inner):
    model = kt.sparsify(mlp(activation="tanh"), {"fc1": 0.3})
    model.compile(kt.optimizers.Static(inner()), LOSS, steps_per_execution=4)
    losses = model.fit(batches(), epochs=2, verbose=0).history["loss"]
    assert losses[1] < losses[0] and off_mask(model) == [0.0]


class Turning(kt.optimizers.PeriodicOptimizer):
    """Changes the masks and leaves the rest to the base."""

    def update_masks(self, strategy, states, dense, step):
        for state in states:
            state.masked.mask.assign(tf.reverse(state.masked.mask.value, [0]))


def test_what_a_method_drops_is_put_to_rest():
    model = kt.sparsify(mlp(), 0.7)
    model.compile(Turning(momentum(), update_every=3, end=100), LOSS, steps_per_execution=8)
    model.fit(batches(), verbose=0)
    assert off_mask(model) == [0.0, 0.0]
    for state in model.optimizer.kernel_states:
        assert not state.slots[0][0].numpy()[~state.masked.mask.numpy()].any()
