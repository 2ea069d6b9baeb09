"""Methods that prune on the way, against plain NumPy; raw weights survive what they must."""

import keras
import numpy as np
import oracle
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from method_recipes import METHODS
from networks import LOSS, labeled, mlp

import keras_tickets as kt
from keras_tickets import masks

PRUNING = {
    "GradualMagnitude": (2, 15, 3),
    "GradualMagnitude, regrow": (2, 15, 3),
    "StraightThrough, ramp": (2, 15, 2),
    "DNW": (0, 0, 1),
}
RAMPS = {
    "PolynomialDecay": lambda p: (1 - p) ** 3.0,
    "CosineRamp": lambda p: (1 + np.cos(np.pi * p)) / 2,
    "ConstantSparsity": lambda p: 0.0,
}
STEPS = 20


def kernels_of(shapes, sparsities):
    layers = []
    for i, (shape, sparsity) in enumerate(zip(shapes, sparsities, strict=True)):
        dense = keras.layers.Dense(shape[1], use_bias=False, name=f"fc{i}")
        layers.append(kt.layers.Sparse(dense, sparsity, mask="ones"))
        layers[-1].build((None, shape[0]))
    return [layer.masked_kernels[0] for layer in layers], layers


def stepper(optimizer, records, jit_compile=False):
    optimizer.compiles_under_xla = jit_compile
    optimizer.build([record.kernel for record in records])

    @tf.function(jit_compile=jit_compile)
    def step(gradients):
        grads = [tf.where(r.mask.value, g, 0.0) for r, g in zip(records, gradients, strict=True)]
        dense = {r.name: g for r, g in zip(records, gradients, strict=True)}
        optimizer.apply(grads, [r.kernel for r in records], dense_gradients=dense)

    return step


def eighths(rng, shape, zeros=0.3):
    values = rng.integers(-8, 9, size=shape) / 8
    return np.where(rng.random(shape) < zeros, 0, values).astype(np.float32)


def left(size, sparsity):
    return size - int(np.floor(sparsity * size))


cases = st.fixed_dictionaries(
    {
        "method": st.sampled_from(sorted(PRUNING)),
        "ramp": st.sampled_from(sorted(RAMPS)),
        "scope": st.sampled_from(["local", "global"]),
        "final": st.sampled_from([None, 0.7]),
        "shapes": st.lists(st.tuples(st.integers(2, 8), st.integers(1, 8)), min_size=1, max_size=3),
        "seed": st.integers(0, 2**31 - 1),
        "jit_compile": st.booleans(),
    }
)


@settings(max_examples=15, deadline=None)
@given(case=cases)
def test_agrees_with_the_oracle(case):
    check_against_the_oracle(case)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(case=cases)
def test_agrees_with_the_oracle_in_more_cases(case):
    check_against_the_oracle(case)


def check_against_the_oracle(case):
    method = case["method"]
    arguments = {}
    if method != "DNW":
        ramp = getattr(kt.schedules, case["ramp"])(final_sparsity=case["final"])
        arguments = {"schedule": ramp, "scope": case["scope"]}
    final = None if method == "DNW" else case["final"]
    everywhere = method != "DNW" and case["scope"] == "global"
    sparsities = [0.5, 0.9, 0.25][: len(case["shapes"])]
    records, _ = kernels_of(case["shapes"], sparsities)
    begin, end, every = PRUNING[method]
    optimizer = METHODS[method].make(
        keras.optimizers.SGD(0.5), begin=begin, end=end, update_every=every, **arguments
    )
    step = stepper(optimizer, records, case["jit_compile"])
    remaining = RAMPS["ConstantSparsity" if method == "DNW" else case["ramp"]]
    rng = np.random.default_rng(case["seed"])
    values = [eighths(rng, shape) for shape in case["shapes"]]
    active = [np.ones(v.shape, bool) for v in values]
    for record, value in zip(records, values, strict=True):
        record.kernel.assign(value)
    sizes = [v.size for v in values]

    for t in range(STEPS):
        gradients = [eighths(rng, shape) for shape in case["shapes"]]
        step([tf.constant(g) for g in gradients])
        off = method != "GradualMagnitude"
        if method == "GradualMagnitude, regrow":
            values = [np.where(m, v, 0) for v, m in zip(values, active, strict=True)]
        values = [
            v - np.float32(0.5) * (g if off else np.where(m, g, 0))
            for v, g, m in zip(values, gradients, active, strict=True)
        ]
        due = t >= begin and (t - begin) % every == 0
        if method.startswith("GradualMagnitude"):
            due = begin <= t <= end and (due or t == end)
        if due:
            p = 1.0 if t >= end else (t - begin) / (end - begin)

            def now(target, p=p, t=t):
                s = target if final is None else final
                return s if t >= end else s + (0 - s) * remaining(p)

            allowed = [np.ones(m.shape, bool) if off else m for m in active]
            if everywhere:
                kept = sum(left(n, s) for n, s in zip(sizes, sparsities, strict=True))
                target = (sum(sizes) - kept) / sum(sizes)
                if left(sum(sizes), target) != kept:
                    target = np.nextafter(target, 1)
                count = left(sum(sizes), now(target))
                assert count == kept or final is not None or t < end
                flat = oracle.top(
                    np.abs(np.concatenate([v.ravel() for v in values])),
                    count,
                    np.concatenate([a.ravel() for a in allowed]),
                )
                parts = np.split(flat, np.cumsum(sizes)[:-1])
            else:
                parts = [
                    oracle.top(np.abs(v).ravel(), left(v.size, now(s)), a.ravel())
                    for v, s, a in zip(values, sparsities, allowed, strict=True)
                ]
            active = [p.reshape(v.shape) for p, v in zip(parts, values, strict=True)]
            if not off:
                values = [np.where(m, v, 0) for v, m in zip(values, active, strict=True)]
        for record, mask, value in zip(records, active, values, strict=True):
            np.testing.assert_array_equal(record.mask.numpy(), mask, err_msg=f"step {t}")
            np.testing.assert_array_equal(record.kernel.numpy(), value, err_msg=f"step {t}")
    if not everywhere and final is None:
        assert [r.count() for r in records] == [r.target for r in records]


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("backward", [None, 0.3])
def test_top_kast_agrees_with_the_oracle(backward, jit_compile):
    (record,), _ = kernels_of([(9, 7)], [0.75])
    optimizer = kt.optimizers.TopKAST(
        keras.optimizers.SGD(0.5, weight_decay=0.125),
        update_every=3,
        backward_sparsity=backward,
        regularization=0.25,
    )
    step = stepper(optimizer, [record], jit_compile)
    rng = np.random.default_rng(3)
    value = eighths(rng, (9, 7))
    record.kernel.assign(value)
    used = left(63, 0.75)
    trained = 2 * used if backward is None else left(63, backward)
    forward, behind = np.ones((9, 7), bool), np.zeros((9, 7), bool)
    outside = 0
    for t in range(13):
        gradient = eighths(rng, (9, 7))
        step([tf.constant(gradient)])
        both = forward | behind
        pull = np.where(forward, value, value / 0.25)
        moved = value - np.float32(0.0625) * value
        moved = moved - np.float32(0.5) * (gradient + np.float32(0.25) * pull)
        value = np.where(both, moved, value).astype(np.float32)
        if t % 3 == 0:
            forward = oracle.top(np.abs(value).ravel(), used, np.ones(63, bool)).reshape(9, 7)
            behind = oracle.top(np.abs(value).ravel(), trained, np.ones(63, bool)).reshape(9, 7)
        np.testing.assert_array_equal(record.mask.numpy(), forward, err_msg=f"step {t}")
        np.testing.assert_allclose(record.kernel.numpy(), value, rtol=1e-5, err_msg=f"step {t}")
        value = record.kernel.numpy()
        outside += np.count_nonzero(value[~(forward | behind)])
    assert outside > 0


def test_top_kast_holds_what_it_does_not_train_exactly():
    (record,), _ = kernels_of([(9, 7)], [0.75])
    inner = keras.optimizers.Adam(0.1, weight_decay=0.1)
    optimizer = kt.optimizers.TopKAST(inner, update_every=4)
    step = stepper(optimizer, [record])
    rng = np.random.default_rng(0)
    for t in range(12):
        before, sets = record.kernel.numpy(), record.mask.numpy()
        sets = sets | optimizer._backward[id(record)].numpy()
        step([tf.constant(eighths(rng, (9, 7)))])
        np.testing.assert_array_equal(record.kernel.numpy()[~sets], before[~sets])
        for slot, initial in optimizer.kernel_states[0].slots:
            assert (slot.numpy()[~sets] == initial).all()
        assert record.count() == record.target
        assert t == 0 or (record.kernel.numpy()[sets] != before[sets]).any()


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
    of_each_kind(
        *("RigL, mean", "SNFS", "GradualMagnitude", "GradualMagnitude, regrow"),
        *("StraightThrough", "TopKAST"),
    ),
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
@pytest.mark.parametrize(
    "method", of_each_kind("RigL, initial", "GradualMagnitude, global", "DNW", "TopKAST")
)
def test_what_leaves_the_model_is_sparse_and_training_goes_on(method, jit_compile, tmp_path):
    model = METHODS[method].sparsify(network(), 0.8)
    traces = []
    step = model.train_step
    model.train_step = lambda data: traces.append(1) or step(data)
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
