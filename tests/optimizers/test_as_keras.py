"""What people do with a Keras optimizer works on a sparse one as on the dense one."""

import functools
import itertools
import threading

import keras
import numpy as np
import pytest
from keras_versions import needs_multi_optimizer
from networks import mlp
from slow_cases import slow_unless

import keras_tickets as kt
from keras_tickets import masks

optimizers = keras.optimizers
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(32, 10)).astype("float32"), RNG.normal(size=(32, 3)).astype("float32")


def fit(model, callbacks=None):
    model.fit(X, Y, batch_size=16, epochs=3, shuffle=False, verbose=0, callbacks=callbacks)


def dense_and_sparse(make, change=lambda optimizer: None, callbacks=list):
    """The weights of a dense model and of one with full masks after the same training."""
    models = [mlp(), kt.sparsify(mlp(), 0.0)]
    for model in models:
        model.compile(make(), "mse")
        change(model.optimizer)
        fit(model, callbacks())
    return models


def assert_same_weights(dense, sparse):
    for (path, ours), theirs in zip(
        kt.weight_paths(sparse).items(), kt.weight_paths(dense).values(), strict=True
    ):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=1e-6, err_msg=path)


CHANGES = {
    "learning_rate": lambda o: setattr(o, "learning_rate", 0.5),
    "assigned rate": lambda o: o.learning_rate.assign(0.5),
    "weight_decay": lambda o: setattr(o, "weight_decay", 0.5),
    "no decay of biases": lambda o: (
        setattr(o, "weight_decay", 0.5),
        o.exclude_from_weight_decay(var_names=["bias"]),
    ),
    "clipnorm": lambda o: setattr(o, "clipnorm", 1e-3),
    "global_clipnorm": lambda o: setattr(o, "global_clipnorm", 1e-3),
    "clipvalue": lambda o: setattr(o, "clipvalue", 1e-3),
    "momentum": lambda o: setattr(o, "momentum", 0.1),
    "nesterov": lambda o: setattr(o, "nesterov", True),
    "ema": lambda o: (setattr(o, "use_ema", True), setattr(o, "ema_momentum", 0.5)),
    "accumulation": lambda o: setattr(o, "gradient_accumulation_steps", 2),
    "iterations": lambda o: o.iterations.assign(4),
}


OF_THE_SAME_KIND = ("assigned rate", "weight_decay", "clipnorm", "clipvalue", "nesterov")


def inner(scheduled):
    rate = optimizers.schedules.CosineDecay(0.1, 6) if scheduled else 0.1
    return optimizers.SGD(rate, momentum=0.9)


@functools.cache
def unchanged_weights(scheduled):
    model = mlp()
    model.compile(inner(scheduled), "mse")
    fit(model)
    return model.get_weights()


@pytest.mark.parametrize("name", slow_unless(lambda name: name not in OF_THE_SAME_KIND, CHANGES))
def test_what_is_set_on_the_optimizer_counts(name):
    """By the dense model beside ours; and each change does change something."""
    scheduled = name == "iterations"
    dense, sparse = dense_and_sparse(lambda: inner(scheduled), CHANGES[name])
    assert_same_weights(dense, sparse)
    unchanged = unchanged_weights(scheduled)
    assert any(np.any(a != b) for a, b in zip(dense.get_weights(), unchanged, strict=True))


def test_what_is_read_is_the_inner_optimizers():
    inner = optimizers.Adam(0.1, beta_1=0.8, weight_decay=0.01, clipnorm=1.0, use_ema=True)
    optimizer = kt.optimizers.RigL(inner, end=1000)
    for name in ("beta_1", "weight_decay", "clipnorm", "use_ema", "ema_momentum", "amsgrad"):
        assert getattr(optimizer, name) == getattr(inner, name), name
    with pytest.raises(AttributeError, match="'RigL' object has no attribute 'momentum'"):
        optimizer.momentum  # noqa: B018
    snfs = kt.optimizers.SNFS(optimizers.SGD(momentum=0.5), end=1000)
    assert (snfs.momentum, snfs.core_optimizer.momentum) == (0.9, 0.5)
    optimizer.build(mlp().trainable_variables)
    values = [np.full(v.shape, i, v.dtype) for i, v in enumerate(optimizer.variables)]
    optimizer.set_weights(values)
    for variable, value in zip(optimizer.variables, values, strict=True):
        np.testing.assert_array_equal(variable, value)


@pytest.mark.parametrize(
    "policy, multi",
    slow_unless(
        lambda policy, multi: multi and policy == "float32",
        itertools.product(["float32", "mixed_float16"], [False, True]),
    ),
)
def test_averages_are_swapped_in_for_evaluation(policy, multi):
    keras.config.set_dtype_policy(policy)
    try:

        def make():
            if not (multi and hasattr(optimizers, "MultiOptimizer")):
                return optimizers.SGD(0.1, use_ema=True)
            return optimizers.MultiOptimizer(
                optimizers.OptimizerMap(
                    optimizers.SGD(0.1, use_ema=True), {"fc1/.*": optimizers.Adam()}
                )
            )

        def swap():
            return [keras.callbacks.SwapEMAWeights(swap_on_epoch=True)]

        dense, sparse = dense_and_sparse(make, callbacks=swap)
        assert_same_weights(dense, sparse)
        model = kt.sparsify(mlp(), 0.5)
        model.compile(make(), "mse")
        model.fit(X, Y, validation_data=(X, Y), verbose=0, callbacks=swap())
        for record in masks.masked_kernels(model):
            assert not record.kernel.numpy()[~record.mask.numpy()].any()
    finally:
        keras.config.set_dtype_policy("float32")


@needs_multi_optimizer
@pytest.mark.parametrize(
    "method", slow_unless(lambda method: method != "SET", ["Static", "RigL", "SET"])
)
def test_every_part_of_a_multi_optimizer_counts_all_steps(method):
    parts = [optimizers.Adam(optimizers.schedules.CosineDecay(0.1, 6)), optimizers.SGD(0.1)]
    inner = optimizers.MultiOptimizer(optimizers.OptimizerMap(parts[1], {"fc1/.*": parts[0]}))
    optimizer = kt.optimizers.Static(inner)
    if method != "Static":
        optimizer = getattr(kt.optimizers, method)(inner, update_every=2, end=100)
    model = kt.sparsify(mlp(), 0.5)
    model.compile(optimizer, "mse")
    model.fit(X, Y, batch_size=16, epochs=3, verbose=0)
    assert [int(each.iterations) for each in (optimizer, *parts)] == [6, 6, 6]
    assert float(parts[0].learning_rate) < 1e-8
    names = {"fc1/kernel": 2, "head/kernel": 0}
    assert {s.masked.name: len(s.slots) for s in optimizer.kernel_states} == names
    for state in optimizer.kernel_states:
        for slot, initial in state.slots:
            assert (slot.numpy()[~state.masked.mask.numpy()] == initial).all()


@needs_multi_optimizer
def test_parts_that_accumulate_are_refused():
    part = optimizers.SGD(gradient_accumulation_steps=2)
    multi = optimizers.MultiOptimizer(optimizers.OptimizerMap(optimizers.SGD(), {"fc1/.*": part}))
    with pytest.raises(ValueError, match="parts of a MultiOptimizer must not accumulate"):
        kt.optimizers.Static(multi)


def test_a_model_built_in_each_of_many_threads_has_its_own_slots():
    original = optimizers.Optimizer.add_variable_from_reference
    models = [
        kt.sparsify(mlp(hidden=(6,) * 6, activation="tanh"), 0.5, seed=seed) for seed in range(4)
    ]
    for model in models:
        model.compile(kt.optimizers.Static(optimizers.SGD(0.1, momentum=0.9)), "mse")
    start = threading.Barrier(len(models))

    def train(model):
        start.wait()
        model.optimizer.build(model.trainable_variables)
        for _ in range(2):
            model.train_on_batch(X, Y)

    threads = [threading.Thread(target=train, args=(model,)) for model in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert optimizers.Optimizer.add_variable_from_reference is original
    seen = set()
    for model in models:
        assert int(model.optimizer.iterations) == 2
        assert len(model.optimizer.slots) == len(model.trainable_variables)
        for state in model.optimizer.kernel_states:
            ((slot, _),) = state.slots
            assert id(slot) not in seen and slot.path.startswith(
                model.optimizer.core_optimizer.name
            )
            seen.add(id(slot))
            mask = state.masked.mask.numpy()
            assert slot.numpy()[mask].any() and not slot.numpy()[~mask].any()


@pytest.mark.parametrize(
    "policy", slow_unless(lambda policy: policy == "float32", ["float32", "mixed_float16"])
)
def test_a_file_holds_each_slot_once(policy, tmp_path):
    keras.config.set_dtype_policy(policy)
    try:
        sizes = []
        for model in (mlp(100, (300,)), kt.sparsify(mlp(100, (300,)), 0.5)):
            model.compile("adam", "mse")
            model.fit(np.ones((4, 100)), np.ones((4, 3)), verbose=0)
            model.save(tmp_path / "model.keras")
            sizes.append((tmp_path / "model.keras").stat().st_size)
        again = keras.models.load_model(tmp_path / "model.keras")
    finally:
        keras.config.set_dtype_policy("float32")
    assert sizes[1] < 1.1 * sizes[0]
    for ours, loaded in zip(model.optimizer.variables, again.optimizer.variables, strict=True):
        np.testing.assert_array_equal(ours, loaded, err_msg=ours.path)
    assert any(np.any(slot) for slot in again.optimizer.slots)
