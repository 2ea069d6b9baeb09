"""Guarantee: whatever the inner optimizer, masked weights are 0 and their slots at rest."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from method_recipes import METHODS
from networks import LOSS, labeled, mlp
from slow_cases import slow_unless

import keras_tickets as kt

INNER = {
    "sgd": lambda **k: keras.optimizers.SGD(0.1, **k),
    "momentum": lambda **k: keras.optimizers.SGD(0.1, momentum=0.9, **k),
    "nesterov": lambda **k: keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True, **k),
    "adam": lambda **k: keras.optimizers.Adam(0.01, **k),
    "amsgrad": lambda **k: keras.optimizers.Adam(0.01, amsgrad=True, **k),
    "adamw": lambda **k: keras.optimizers.AdamW(0.01, **k),
    "adamax": lambda **k: keras.optimizers.Adamax(0.01, **k),
    "nadam": lambda **k: keras.optimizers.Nadam(0.01, **k),
    "rmsprop": lambda **k: keras.optimizers.RMSprop(0.01, centered=True, momentum=0.5, **k),
    "adagrad": lambda **k: keras.optimizers.Adagrad(0.05, **k),
    "adadelta": lambda **k: keras.optimizers.Adadelta(1.0, **k),
    "adafactor": lambda **k: keras.optimizers.Adafactor(0.01, epsilon_1=1e-12, **k),
    "lion": lambda **k: keras.optimizers.Lion(0.01, **k),
    "lamb": lambda **k: keras.optimizers.Lamb(0.01, **k),
    "ftrl": lambda **k: keras.optimizers.Ftrl(0.1, l1_regularization_strength=1e-3, **k),
    "muon": lambda **k: keras.optimizers.Muon(0.01, **k),
}
OPTIONS = {
    "plain": {},
    "weight_decay": {"weight_decay": 0.01},
    "ema": {"use_ema": True, "ema_momentum": 0.9, "ema_overwrite_frequency": 7},
    "clipnorm": {"clipnorm": 0.5},
    "global_clipnorm": {"global_clipnorm": 0.5},
    "accumulation": {"gradient_accumulation_steps": 2},
}
VARIANTS = ("momentum", "amsgrad", "adamax")  # of others: momentum with Nesterov's, and Adam
# By default every other optimizer, and every option once.
PAIRS = slow_unless(
    lambda inner, option: (option == "plain" or inner == "adamw") and inner not in VARIANTS,
    itertools.product(INNER, OPTIONS),
)
RNG = np.random.default_rng(0)
X, Y = labeled(256, inputs=12)


def network(dtype=None, **kwargs):
    return mlp(12, dtype=dtype, **kwargs)


def check_at_rest(model):
    states = model.optimizer.kernel_states
    check_counts(model.optimizer, [state.masked for state in states])
    for state in states:
        mask = state.masked.mask.numpy()
        kernel = state.masked.kernel.numpy()
        assert np.isfinite(kernel).all()
        assert not kernel[~mask].any()
        for slot, initial in state.slots:
            values = slot.numpy()
            assert np.isfinite(values).all(), slot.path
            np.testing.assert_array_equal(values[~mask], np.float32(initial), err_msg=slot.path)


def check_counts(optimizer, records):
    """Each kernel has its target, in total where a method redistributes; a ramp only gets there."""
    counts, targets = [r.count() for r in records], [r.target for r in records]
    if isinstance(optimizer, kt.optimizers.SNFS):
        assert sum(counts) == sum(targets)
    elif isinstance(optimizer, kt.optimizers.GradualMagnitude):
        _, end = optimizer.window
        done = int(optimizer.iterations) > end
        assert (counts == targets) == done
    else:
        assert counts == targets


def optimizer_for(method, inner):
    if method == "plain":
        return inner
    end = 8 if method == "GradualMagnitude" else 1000
    return METHODS[method].make(inner, update_every=3, end=end, drop_fraction=0.4)


def train(model, optimizer, steps=20, **compile_arguments):
    model.compile(
        optimizer,
        LOSS,
        **compile_arguments,
    )
    checks = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: check_at_rest(model)
    )
    dataset = tf.data.Dataset.from_tensor_slices((X, Y)).repeat().batch(32)
    history = model.fit(dataset, steps_per_epoch=steps, epochs=1, verbose=0, callbacks=[checks])
    return history.history["loss"][0]


@pytest.mark.parametrize("inner, option", PAIRS)
def test_with_every_inner_optimizer(inner, option):
    keras.utils.set_random_seed(1)
    model = kt.sparsify(network(hidden=()), 0.7)
    before = model.masks
    loss = train(model, optimizer_for("RigL", INNER[inner](**OPTIONS[option])))
    assert np.isfinite(loss)
    assert any(np.any(before[path] != mask) for path, mask in model.masks.items())
    assert any(
        slot.path.endswith("average") for t in model.optimizer.kernel_states for slot, _ in t.slots
    ) == (option == "ema")


@pytest.mark.parametrize(
    "inner, method",
    slow_unless(
        lambda inner, method: inner == "ftrl",
        itertools.product(["momentum", "ftrl"], ["SNFS", "GradualMagnitude"]),
    ),
)
def test_other_families_with_some_inner_optimizers(method, inner):
    model = METHODS[method].sparsify(network(), 0.7)
    before = model.masks
    loss = train(model, optimizer_for(method, INNER[inner]()), steps=10)
    assert np.isfinite(loss)
    assert any(np.any(before[path] != mask) for path, mask in model.masks.items())


@pytest.mark.slow
@pytest.mark.parametrize("inner", list(INNER))
@pytest.mark.parametrize("option", list(OPTIONS))
@pytest.mark.parametrize("method", ["SNFS", "GradualMagnitude"])
def test_other_families_with_every_option(method, inner, option):
    model = METHODS[method].sparsify(network(), 0.7)
    optimizer = optimizer_for(method, INNER[inner](**OPTIONS[option]))
    assert np.isfinite(train(model, optimizer))


@pytest.mark.parametrize("method", ["plain", "Static", "SET"])
@pytest.mark.parametrize(
    "inner",
    [
        pytest.param("momentum", marks=pytest.mark.slow),
        pytest.param("adam", marks=pytest.mark.slow),
        "adagrad",
        pytest.param("muon", marks=pytest.mark.slow),
    ],
)
def test_with_every_method(method, inner):
    model = kt.sparsify(network(), 0.7)
    before = model.masks
    train(model, optimizer_for(method, INNER[inner]()))
    changed = any(np.any(before[path] != mask) for path, mask in model.masks.items())
    assert changed == (method == "SET")


@pytest.mark.parametrize(
    "policy, jit_compile",
    slow_unless(
        lambda policy, jit_compile: policy == "mixed_float16" and not jit_compile,
        itertools.product(["mixed_float16", "mixed_bfloat16"], [False, True]),
    ),
)
def test_in_mixed_precision(policy, jit_compile):
    model = kt.sparsify(network(policy), 0.7)
    loss = train(model, optimizer_for("RigL", INNER["adam"]()), jit_compile=jit_compile)
    assert np.isfinite(loss)


class Shift(keras.constraints.Constraint):
    def __call__(self, w):
        return w + 0.1


def test_a_constraint_that_moves_zeros_is_undone():
    inputs = keras.Input((12,))
    layer = keras.layers.Dense(16, kernel_constraint=Shift(), name="a")
    dense = keras.Model(inputs, keras.layers.Dense(3)(layer(inputs)))
    model = kt.sparsify(dense, 0.7, in_place=True)
    before = model.masks
    train(model, kt.optimizers.Static(keras.optimizers.SGD(0.1)))
    kernel = layer.kernel.numpy()
    assert not kernel[~before["a/kernel"]].any()
    assert kernel[before["a/kernel"]].mean() > 0.5, "the constraint was never applied"


@pytest.mark.parametrize(
    "by", slow_unless(lambda by: by == "set_masks", ["set_masks", "set_weights"])
)
def test_masks_set_from_outside_in_the_middle_of_training(by):
    model = kt.sparsify(network(), 0.7, distribution="uniform")
    other = kt.sparsify(network(), 0.7, distribution="uniform", seed=1)
    optimizer = optimizer_for("RigL", INNER["adam"]())
    model.compile(optimizer, LOSS)
    model.fit(X, Y, verbose=0)
    if by == "set_masks":
        kt.set_masks(model, other.masks)
        check_at_rest(model)
    else:
        model.set_weights(other.get_weights())
    checks = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: check_at_rest(model),
        on_train_batch_end=lambda batch, logs: check_at_rest(model),
    )
    model.fit(X, Y, verbose=0, callbacks=[checks])
    model.set_weights(other.get_weights())
    model.train_on_batch(X, Y)
    check_at_rest(model)


@pytest.mark.slow
def test_learning_happens():
    keras.utils.set_random_seed(1)
    model = kt.sparsify(network(), 0.5)
    first = train(model, optimizer_for("RigL", INNER["adam"]()), steps=10)
    last = train(model, optimizer_for("RigL", INNER["adam"]()), steps=100)
    assert last < 0.8 * first


def test_a_grown_weight_starts_with_resting_slots():
    """Adagrad's accumulator starts at 0.1, and so does that of a connection grown later."""
    layer = kt.layers.Sparse(keras.layers.Dense(8, use_bias=False), 0.5)
    layer.build((None, 8))
    (record,) = layer.masked_kernels
    optimizer = kt.optimizers.RigL(keras.optimizers.Adagrad(0.1), update_every=5, end=100)
    optimizer.build([record.kernel])
    ((slot, initial),) = optimizer.kernel_states[0].slots
    assert initial == np.float32(0.1)
    old = record.mask.numpy()
    for _ in range(6):
        dense = RNG.normal(size=(8, 8)).astype("float32")
        masked = np.where(record.mask.numpy(), dense, 0)
        optimizer.apply(
            [tf.constant(masked)], [record.kernel], dense_gradients={record.name: dense}
        )
    grown = record.mask.numpy() & ~old
    assert grown.any()
    np.testing.assert_array_equal(slot.numpy()[grown], np.float32(0.1))
    assert (slot.numpy()[record.mask.numpy() & old] > 0.1).all()
