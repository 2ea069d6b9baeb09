"""RigL and SET against a plain NumPy oracle, and their calendar."""

import itertools

import keras
import numpy as np
import oracle
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_cases import slow_unless

import keras_tickets as kt
from keras_tickets import masks


def sparse_layer(shape, sparsity, name="fc"):
    layer = kt.layers.Sparse(keras.layers.Dense(shape[1], use_bias=False, name=name), sparsity)
    layer.build((None, shape[0]))
    return layer


def stepper(optimizer, kernel, path, jit_compile=False):
    """`apply` as a graph function of one gradient, dense outside the mask."""
    optimizer.build([kernel])

    @tf.function(jit_compile=jit_compile)
    def step(dense):
        masked = tf.where(masks.record_of(kernel).mask.value, dense, 0.0)
        optimizer.apply([masked], [kernel], dense_gradients={path: dense})

    return step


# Multiples of 1/8 under a learning rate of 1/2 stay exact in float32, and tie often.
def gradients(rng, shape, zeros):
    values = rng.integers(-8, 9, size=shape) / 8
    return np.where(rng.random(shape) < zeros, 0, values).astype(np.float32)


cases = st.fixed_dictionaries(
    {
        "shape": st.tuples(st.integers(1, 13), st.integers(1, 13)),
        "sparsity": st.sampled_from([0.0, 0.3, 0.5, 0.9, 0.97]),
        "alpha": st.sampled_from([0.1, 0.3, 0.5, 0.99]),
        "schedule": st.sampled_from(sorted(oracle.DROP_FRACTIONS)),
        "update_every": st.integers(2, 4),
        "begin": st.integers(0, 5),
        "zeros": st.sampled_from([0.0, 0.5, 1.0]),
        "seed": st.integers(0, 2**31 - 1),
        "jit_compile": st.booleans(),
    }
)


@pytest.mark.parametrize("method", ["RigL", "SET"])
@settings(max_examples=2, deadline=None)
@given(case=cases)
def test_agrees_with_the_oracle_over_fifty_updates(method, case):
    check_updates(method, case)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["RigL", "SET"])
@settings(max_examples=20, deadline=None)
@given(case=cases)
def test_agrees_with_the_oracle_in_more_cases(method, case):
    check_updates(method, case)


def check_updates(method, case, updates=50):
    begin, every, end = case["begin"], case["update_every"], case["begin"] + 1
    end += case["update_every"] * (updates + 1)
    optimizer = getattr(kt.optimizers, method)(
        keras.optimizers.SGD(0.5),
        update_every=every,
        begin=begin,
        end=end,
        drop_fraction=getattr(kt.schedules, case["schedule"])(case["alpha"]),
        seed=case["seed"],
    )
    layer = sparse_layer(case["shape"], case["sparsity"])
    (record,) = layer.masked_kernels
    rng = np.random.default_rng(case["seed"])
    kernel, mask = gradients(rng, case["shape"], 0.2), record.mask.numpy()
    record.kernel.assign(kernel)
    record.set(mask)
    kernel, done = np.where(mask, kernel, 0), 0
    step = stepper(optimizer, record.kernel, record.name, case["jit_compile"])

    for t in range(end):
        gradient = gradients(rng, case["shape"], case["zeros"])
        step(tf.constant(gradient))
        is_due = oracle.due(t, begin, end, every)
        if not is_due or method == "SET":
            kernel = kernel - np.float32(0.5) * np.where(mask, gradient, 0)
        if is_due:
            scores = np.abs(gradient)
            if method == "SET":
                scores = oracle.random_scores(case["shape"], record.name, case["seed"], t)
            progress = (t - begin) / (end - begin)
            fraction = oracle.DROP_FRACTIONS[case["schedule"]](case["alpha"], progress)
            mask, kernel = oracle.drop_and_grow(kernel, mask, scores, fraction)
            done += 1
        np.testing.assert_array_equal(record.mask.numpy(), mask, err_msg=f"step {t}")
        np.testing.assert_array_equal(record.kernel.numpy(), kernel, err_msg=f"step {t}")
    assert done >= updates


@pytest.mark.parametrize(
    "begin, end, frequency, pattern",
    [(3, 7, 2, "11101101101"), (1, 5, 3, "10111011111"), (0, 4, 1, "01010101011")],
)
def test_reference_step_patterns(begin, end, frequency, pattern):
    """The reference's counter stands still on an update and its range includes `end`.

    Ours moves, so a period takes one step more, and an update at step 0 never happens.
    """
    period = frequency + 1
    last = begin + (end - begin) // frequency * period
    optimizer = kt.optimizers.RigL(
        keras.optimizers.SGD(1.0), update_every=period, begin=begin, end=last + 1
    )
    layer = sparse_layer((4, 4), 0.5)
    (record,) = layer.masked_kernels
    step = stepper(optimizer, record.kernel, record.name)
    stepped = ""
    for _ in pattern:
        before = record.kernel.numpy()
        step(tf.ones((4, 4)))
        mask = record.mask.numpy()
        moved = np.all(record.kernel.numpy()[mask] == before[mask] - 1)
        stepped += "1" if moved else "0"
    expected = "1" + pattern[1:] if begin == 0 else pattern
    assert stepped == expected
    assert int(optimizer.iterations) == len(pattern)


# The reference's hand-made vector (no noise, 0-based, 12 weights).
MASK = np.arange(12) < 6
WEIGHTS = np.array([0.9, -0.05, 0.4, -0.02, 0.3, -0.7, 0.11, -0.8, 0, 0.2, 0, 0.5], np.float32)
GRADIENT = np.array([0.1, 0.2, -0.3, -0.95, 0.05, 0.6, 0.4, -0.5, 0.01, 0.9, -0.5, 0], np.float32)


@pytest.mark.parametrize("fraction, active", [(0.3, [0, 1, 2, 3, 4, 5]), (0.5, [0, 2, 3, 5, 7, 9])])
def test_hand_made_vector(fraction, active):
    optimizer = kt.optimizers.RigL(
        keras.optimizers.SGD(0.0, momentum=0.5),
        update_every=2,
        begin=1,
        end=9,
        drop_fraction=fraction,
    )
    layer = sparse_layer((1, 12), 0.5)
    (record,) = layer.masked_kernels
    record.kernel.assign(WEIGHTS[None])
    record.set(MASK[None])
    step = stepper(optimizer, record.kernel, record.name)
    ((slot, initial),) = optimizer.kernel_states[0].slots
    step(tf.zeros((1, 12)))
    slot.assign(np.where(MASK, 0.1 * np.arange(1, 13), 0)[None])
    step(tf.constant(GRADIENT[None]))

    new = np.isin(np.arange(12), active)
    np.testing.assert_array_equal(record.mask.numpy()[0], new)
    np.testing.assert_array_equal(
        record.kernel.numpy()[0], np.where(new & MASK, WEIGHTS, 0).astype(np.float32)
    )
    np.testing.assert_allclose(
        slot.numpy()[0], np.where(new & MASK, 0.1 * np.arange(1, 13), 0), rtol=1e-6
    )
    assert initial == 0.0


@pytest.mark.parametrize(
    "kwargs, message",
    [
        ({"update_every": 1}, "never take a gradient step"),
        ({"update_every": 0}, "update_every=0"),
        ({"begin": 10, "end": 5}, "begin=10 .*end=5"),
        ({"end": 1.5}, "1.5"),
        ({"drop_fraction": 1.5}, "1.5"),
        ({"grow_init": "ones"}, "grow_init='ones'"),
        ({"grow_init": "grad_sign", "grow_divisor": 0}, "grow_divisor=0"),
        ({"grow_divisor": 2.0}, "needs a `grow_init`.*grow_divisor=2.0"),
        ({"seed": -1}, "seed=-1"),
        ({"mean_over": 101}, "at most .* 100. Received: mean_over=101"),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        kt.optimizers.RigL(keras.optimizers.SGD(), **kwargs)


def test_set_cannot_start_from_gradients():
    with pytest.raises(ValueError, match="grow_init='grad_sign'"):
        kt.optimizers.SET("sgd", grow_init="grad_sign")


def test_a_fraction_of_an_unknown_total_is_refused():
    optimizer = kt.optimizers.RigL("sgd", end=0.75)
    layer = sparse_layer((4, 4), 0.5)
    (record,) = layer.masked_kernels
    with pytest.raises(ValueError, match="set_total_steps"):
        stepper(optimizer, record.kernel, record.name)(tf.ones((4, 4)))


def test_needs_dense_gradients():
    optimizer = kt.optimizers.RigL("sgd", end=10)
    layer = sparse_layer((4, 4), 0.5)
    kernel = layer.masked_kernels[0].kernel
    with pytest.raises(ValueError, match="kt.SparseModel"):
        optimizer.apply([tf.ones((4, 4))], [kernel])
    inputs = keras.Input((4,))
    model = keras.Model(inputs, kt.layers.Sparse(keras.layers.Dense(4), 0.5)(inputs))
    model.compile(kt.optimizers.RigL("sgd", end=10), "mse")
    with pytest.raises(ValueError, match="kt.SparseModel"):
        model.fit(np.ones((4, 4)), np.ones((4, 4)), verbose=0)


@pytest.mark.parametrize("method", ["RigL", "SET"])
def test_config_round_trip(method):
    cls = getattr(kt.optimizers, method)
    optimizer = cls(
        keras.optimizers.Adam(1e-3, weight_decay=0.1),
        update_every=7,
        begin="3it",
        end="75%",
        drop_fraction=kt.schedules.Linear(0.2),
        grow_init="random_normal",
        grow_divisor=2.0,
        skip_gradient_step=False,
        seed=5,
    )
    config = keras.saving.serialize_keras_object(optimizer)
    again = keras.saving.deserialize_keras_object(config)
    assert isinstance(again, cls)
    assert keras.saving.serialize_keras_object(again) == config
    assert again.core_optimizer.weight_decay == 0.1


@pytest.mark.parametrize(
    "choice, divisor",
    slow_unless(
        lambda choice, divisor: divisor == (4.0 if choice == "grad_sign" else 1.0),
        itertools.product(
            ["random_normal", "random_uniform", "grad_scale", "grad_sign"], [1.0, 4.0]
        ),
    ),
)
def test_grow_init_touches_only_new_weights(choice, divisor):
    optimizer = kt.optimizers.RigL(
        keras.optimizers.SGD(0.0),
        update_every=2,
        begin=1,
        end=9,
        drop_fraction=0.4,
        grow_init=choice,
        grow_divisor=divisor,
    )
    layer = sparse_layer((40, 30), 0.8)
    (record,) = layer.masked_kernels
    step = stepper(optimizer, record.kernel, record.name)
    gradient = np.random.default_rng(0).normal(size=(40, 30)).astype(np.float32)
    step(tf.zeros((40, 30)))
    old_mask, old = record.mask.numpy(), record.kernel.numpy()
    step(tf.constant(gradient))
    mask, kernel = record.mask.numpy(), record.kernel.numpy()
    new = mask & ~old_mask
    assert new.sum() > 30
    np.testing.assert_array_equal(kernel[mask & old_mask], old[mask & old_mask])
    assert not kernel[~mask].any()
    kernel, spread = kernel * divisor, old[old_mask]
    if choice == "grad_scale":
        np.testing.assert_array_equal(kernel[new], gradient[new])
    elif choice == "grad_sign":
        np.testing.assert_array_equal(kernel[new], np.sign(gradient[new]))
    elif choice == "random_uniform":
        assert np.abs(kernel[new]).max() <= np.abs(spread).mean()
        assert np.unique(kernel[new]).size > 20
    else:
        assert 0.5 * spread.std() < kernel[new].std() < 1.5 * spread.std()


@pytest.mark.parametrize(
    "method, jit_compile",
    slow_unless(
        lambda method, jit_compile: jit_compile == (method == "RigL"),
        itertools.product(["RigL", "SET"], [False, True]),
    ),
)
def test_grown_weights_start_from_the_initial_distribution(method, jit_compile):
    """Each grown weight is an initial one, drawn by the bits of path, seed and step."""
    optimizer = getattr(kt.optimizers, method)(
        keras.optimizers.SGD(0.125),
        update_every=2,
        begin=1,
        end=99,
        drop_fraction=0.4,
        grow_init="initial_dist",
        grow_divisor=2,
        seed=7,
    )
    layer = sparse_layer((40, 30), 0.8)
    (record,) = layer.masked_kernels
    initial = record.kernel.numpy()[record.mask.numpy()]
    step = stepper(optimizer, record.kernel, record.name, jit_compile)
    rng, drawn = np.random.default_rng(0), []
    for t in range(8):
        old = record.mask.numpy()
        step(tf.constant(rng.normal(size=(40, 30)).astype(np.float32)))
        new = record.mask.numpy() & ~old
        bits = oracle.random_scores((40, 30), record.name + "/grow_init", 7, t).astype(float)
        expected = initial[(bits * initial.size).astype(int)] / 2
        np.testing.assert_array_equal(record.kernel.numpy()[new], expected[new])
        assert (new.sum() > 30) == (t % 2 == 1)
        drawn.extend(expected[new])
    assert len(set(drawn)) > 50
    assert 0.8 < np.std(drawn) / np.std(initial / 2) < 1.2


def test_grown_weights_are_zero_where_no_weight_was_active():
    layer = sparse_layer((4, 4), 0.5)
    (record,) = layer.masked_kernels
    record.set(np.zeros((4, 4), bool))
    optimizer = kt.optimizers.RigL("sgd", end=9, grow_init="initial_dist")
    optimizer.build([record.kernel])
    np.testing.assert_array_equal(optimizer._initial[id(record)].numpy(), np.zeros(8))


def test_apply_needs_variables_to_build_on():
    with pytest.raises(ValueError, match="trainable_variables"):
        kt.optimizers.Static("sgd").apply([tf.ones((2, 2))])
