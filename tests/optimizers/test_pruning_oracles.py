"""Methods that prune on the way, weight for weight against plain NumPy."""

import keras
import numpy as np
import oracle
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from method_recipes import METHODS
from single_steps import kernels_of, stepper

import keras_tickets as kt

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


@settings(max_examples=6, deadline=None)
@given(case=cases)
def test_agrees_with_the_oracle(case):
    check_against_the_oracle(case)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(case=cases)
def test_agrees_with_the_oracle_in_more_cases(case):
    check_against_the_oracle(case)


def largest_of_all(values, allowed, sparsities, now):
    """The weights that one ranking of all kernels leaves, at the total that a ramp has reached.

    The total target is the sparsity that leaves as many weights as the kernels' own targets do.
    """
    sizes = [v.size for v in values]
    kept = sum(left(n, s) for n, s in zip(sizes, sparsities, strict=True))
    target = (sum(sizes) - kept) / sum(sizes)
    if left(sum(sizes), target) != kept:
        target = np.nextafter(target, 1)
    flat = oracle.top(
        np.abs(np.concatenate([v.ravel() for v in values])),
        left(sum(sizes), now(target)),
        np.concatenate([a.ravel() for a in allowed]),
    )
    return np.split(flat, np.cumsum(sizes)[:-1])


def pruning_optimizer(case):
    begin, end, every = PRUNING[case["method"]]
    arguments = {}
    if case["method"] != "DNW":
        ramp = getattr(kt.schedules, case["ramp"])(final_sparsity=case["final"])
        arguments = {"schedule": ramp, "scope": case["scope"]}
    return METHODS[case["method"]].make(
        keras.optimizers.SGD(0.5), begin=begin, end=end, update_every=every, **arguments
    )


def check_against_the_oracle(case):
    method = case["method"]
    final = None if method == "DNW" else case["final"]
    everywhere = method != "DNW" and case["scope"] == "global"
    sparsities = [0.5, 0.9, 0.25][: len(case["shapes"])]
    records, _ = kernels_of(case["shapes"], sparsities)
    begin, end, every = PRUNING[method]
    step = stepper(pruning_optimizer(case), records, case["jit_compile"])
    remaining = RAMPS["ConstantSparsity" if method == "DNW" else case["ramp"]]
    rng = np.random.default_rng(case["seed"])
    values = [eighths(rng, shape) for shape in case["shapes"]]
    active = [np.ones(v.shape, bool) for v in values]
    for record, value in zip(records, values, strict=True):
        record.kernel.assign(value)
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
                parts = largest_of_all(values, allowed, sparsities, now)
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
    if final is None:
        counts, targets = [r.count() for r in records], [r.target for r in records]
        assert sum(counts) == sum(targets) if everywhere else counts == targets


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
