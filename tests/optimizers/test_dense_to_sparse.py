"""Methods that prune on the way: resuming, what leaves the model, arguments."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from method_recipes import METHODS
from networks import LOSS, labeled, mlp
from single_steps import kernels_of, stepper

import keras_tickets as kt
from keras_tickets import masks


def network():
    return mlp(12, (30,))


X, Y = labeled(640, inputs=12)
UPDATES = {"update_every": 4, "end": 30}
TESTED_ELSEWHERE = ("Static", "SET", "RigL", "RigL, fan-in", "SNFS, fixed")


def of_each_kind(*default):
    """All methods; those that differ from a default one in their scores alone are slow tests."""
    return [
        pytest.param(method, marks=() if method in default else pytest.mark.slow)
        for method in METHODS
        if method not in TESTED_ELSEWHERE
    ]


def batches(start, stop):
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(16)
    return data.take(stop).skip(start)


@pytest.mark.parametrize(
    "method",
    of_each_kind("SNFS", "TopKAST"),
)
def test_save_and_resume_in_the_middle(method, tmp_path):
    def fresh():
        model = METHODS[method].sparsify(network(), 0.8)
        optimizer = METHODS[method].make("adam", **UPDATES)
        optimizer.set_total_steps(40)
        model.compile(optimizer, LOSS)
        return model

    whole, part = fresh(), fresh()
    whole.fit(batches(0, 40), verbose=0)
    part.fit(batches(0, 17), verbose=0)
    raw = [w.numpy() for w in part.weights]
    part.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    for a, b in zip(raw, again.weights, strict=True):
        np.testing.assert_array_equal(a, b.numpy())
    again.fit(batches(17, 40), verbose=0)
    for a, b in zip(whole.weights, again.weights, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=a.path)
    ours = {v.path: v.numpy() for v in whole.optimizer.variables}
    assert len(ours) > 3
    for a, b in zip(whole.optimizer.variables, again.optimizer.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=a.path)


@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("method", of_each_kind("GradualMagnitude, global", "DNW"))
def test_what_leaves_the_model_is_sparse_and_training_goes_on(method, jit_compile, tmp_path):
    model = METHODS[method].sparsify(network(), 0.8)
    traces = []
    forward = model.forward
    model.forward = lambda x: traces.append(1) or forward(x)
    model.compile(
        METHODS[method].make("adam", **UPDATES),
        LOSS,
        steps_per_execution=5,
        jit_compile=jit_compile,
    )
    model.fit(batches(0, 40), verbose=0)
    first = len(traces)
    raw = [r.kernel.numpy() for r in masks.masked_kernels(model)]
    assert abs(model.sparsity - 0.8) < 0.01
    plain = kt.strip(model)
    assert sum((w == 0).sum() for w in plain.get_weights()) >= sum(
        (~m).sum() for m in model.masks.values()
    )
    np.testing.assert_allclose(plain(X[:8]), model(X[:8]), atol=1e-6)
    assert kt.export(model, tmp_path / "exported").max_abs_difference < 1e-5
    for record, values in zip(masks.masked_kernels(model), raw, strict=True):
        np.testing.assert_array_equal(record.kernel.numpy(), values)
        off = values[~record.mask.numpy()]
        if off.size and model.optimizer.trains_off_mask:
            assert off.any()
        else:
            assert not off.any()
    model.fit(batches(0, 10), verbose=0)
    assert len(traces) == first
    model.compile(kt.optimizers.Static("sgd"), LOSS)
    model.fit(batches(0, 1), verbose=0)
    for record in masks.masked_kernels(model):
        assert not record.kernel.numpy()[~record.mask.numpy()].any()


RAMP = kt.schedules.CosineRamp(0.1, 0.7)
ARGUMENTS = {
    "GradualMagnitude": {"regrow": True, "scope": "global", "begin": "2ep", "update_every": 7},
    "StraightThrough": {"scope": "global", "end": "50%", "update_every": 7},
    "DNW": {},
    "TopKAST": {"backward_sparsity": 0.3, "update_every": 7, "regularization": 0.1},
}


@pytest.mark.parametrize("method", sorted(ARGUMENTS))
def test_config_round_trip(method):
    cls, arguments = getattr(kt.optimizers, method), dict(ARGUMENTS[method])
    if method in ("GradualMagnitude", "StraightThrough"):
        arguments["schedule"] = RAMP
    inner = keras.optimizers.Adam(1e-3, weight_decay=0.1)
    optimizer = cls(inner, track_exploration=True, name="mine", **arguments)
    config = keras.saving.serialize_keras_object(optimizer)
    again = keras.saving.deserialize_keras_object(config)
    assert isinstance(again, cls)
    assert keras.saving.serialize_keras_object(again) == config
    assert (again.name, again.track_exploration) == ("mine", True)
    assert again.core_optimizer.weight_decay == 0.1
    for name, value in ARGUMENTS[method].items():
        got = getattr(again, name)
        assert getattr(got, "value", got) == value
    if "schedule" in arguments:
        assert repr(again.schedule) == repr(RAMP)


def test_begin_equal_to_end_is_one_shot():
    (record,), _ = kernels_of([(10, 10)], [0.9])
    optimizer = kt.optimizers.GradualMagnitude("sgd", begin=2, end=2)
    step = stepper(optimizer, [record])
    counts = []
    for _ in range(5):
        step([tf.zeros((10, 10))])
        counts.append(record.count())
    assert counts == [100, 100, 10, 10, 10]


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: kt.schedules.PolynomialDecay(0.5, 0.3), "must not go down.*final_sparsity=0.3"),
        (lambda: kt.schedules.PolynomialDecay(power=0), "power=0"),
        (lambda: kt.schedules.PolynomialDecay(1.0), "initial_sparsity"),
        (lambda: kt.optimizers.GradualMagnitude("sgd", scope="layer"), "scope='layer'"),
        (lambda: kt.optimizers.GradualMagnitude("sgd", 0.9), "schedule=0.9"),
        (lambda: kt.optimizers.TopKAST("sgd", backward_sparsity=1.0), "backward_sparsity=1.0"),
        (lambda: kt.optimizers.TopKAST("sgd", regularization=-1), "regularization=-1"),
        (lambda: kt.optimizers.DNW("sgd", scope="global"), "scope"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


def test_a_target_below_the_ramp_is_named():
    records, _ = kernels_of([(4, 4)], [0.2])
    optimizer = kt.optimizers.GradualMagnitude("sgd", kt.schedules.CosineRamp(0.5), end=9)
    with pytest.raises(ValueError, match="target of 'fc0/kernel'=0.2"):
        optimizer.build([records[0].kernel])
    top = kt.optimizers.TopKAST("sgd", backward_sparsity=0.5)
    with pytest.raises(ValueError, match="sparsest has 0.2"):
        top.build([kernels_of([(4, 4)], [0.2])[0][0].kernel])
