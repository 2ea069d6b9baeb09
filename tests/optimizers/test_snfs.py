"""SNFS against a plain NumPy oracle: momentum, redistribution, and growth."""

import keras
import numpy as np
import oracle
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from method_recipes import METHODS

import keras_tickets as kt
from keras_tickets.optimizers._redistribution import share_growth


def share_oracle(importance, growth, room):
    """Whole numbers in proportion to the importance, in Python integers."""
    largest = float(max(importance))
    shares = [int(float(i) / largest * 2**20) if largest > 0 else 0 for i in importance]
    given, left = [0] * len(room), int(growth)

    def weights():
        weights = [s if room[i] > given[i] else 0 for i, s in enumerate(shares)]
        return weights if any(weights) else [int(room[i] > given[i]) for i in range(len(room))]

    while left:
        w = weights()
        more = [min(left * w[i] // max(sum(w), 1), room[i] - given[i]) for i in range(len(room))]
        if not any(more):
            break
        given, left = [g + m for g, m in zip(given, more, strict=True)], left - sum(more)
    while left:
        w = weights()
        for i in sorted(range(len(w)), key=lambda i: (-w[i], i))[:left]:
            if room[i] > given[i]:
                given[i] += 1
                left -= 1
    return given


sharing = st.integers(1, 8).flatmap(
    lambda n: st.tuples(
        st.lists(
            st.one_of(st.just(0.0), st.floats(2**-100, 2.0**20, width=32), st.just(0.25)),
            min_size=n,
            max_size=n,
        ),
        st.lists(st.integers(0, 5000), min_size=n, max_size=n),
        st.floats(0, 1),
        st.booleans(),
    )
)


@settings(max_examples=5, deadline=None)
@given(case=sharing)
def test_shares_are_exact(case):
    importance, room, part, compiled = case
    growth = int(part * sum(room))
    share = tf.function(share_growth, jit_compile=compiled)
    importance = np.array(importance, np.float32)
    given = share(tf.constant(importance), tf.constant(growth), tf.constant(room)).numpy()
    assert given.sum() == growth
    assert (given >= 0).all() and (given <= room).all()
    np.testing.assert_array_equal(given, share_oracle(importance, growth, room))


def test_shares_are_in_proportion():
    given = share_growth(tf.constant([1.0, 2.0, 1.0]), 400, [1000, 1000, 1000])
    assert given.numpy().tolist() == [100, 200, 100]
    given = share_growth(tf.constant([1.0, 2.0, 1.0]), 400, [1000, 100, 1000])
    assert given.numpy().tolist() == [150, 100, 150]
    given = share_growth(tf.constant([0.0, 0.0]), 5, [10, 10])
    assert given.numpy().tolist() == [3, 2]


def two_kernels(shapes, sparsity):
    layers = []
    for i, shape in enumerate(shapes):
        layer = keras.layers.Dense(shape[1], use_bias=False, name=f"fc{i}")
        layers.append(kt.layers.Sparse(layer, sparsity))
        layers[-1].build((None, shape[0]))
    return [layer.masked_kernels[0] for layer in layers], layers


cases = st.fixed_dictionaries(
    {
        "shapes": st.lists(st.tuples(st.integers(2, 9), st.integers(1, 9)), min_size=2, max_size=3),
        "sparsity": st.sampled_from([0.2, 0.5, 0.9]),
        "momentum": st.sampled_from([0.0, 0.5, 0.75]),
        "redistribution": st.sampled_from(["momentum", "gradient", None]),
        "alpha": st.sampled_from([0.3, 0.6, 0.9]),
        "zeros": st.sampled_from([0.0, 0.6]),
        "seed": st.integers(0, 2**31 - 1),
        "jit_compile": st.booleans(),
    }
)


def dropped_and_grown(case, masks, kernels, momenta, gradients):
    """The masks and kernels after an update."""
    fraction = np.float32(case["alpha"])
    dropped = [int(np.float32(m.sum()) * fraction) for m in masks]
    grown = dropped
    if case["redistribution"]:
        source = momenta if case["redistribution"] == "momentum" else gradients
        means = [
            np.float32(np.abs(s[m], dtype=np.float64).mean())
            for s, m in zip(source, masks, strict=True)
        ]
        room = [m.size - m.sum() + d for m, d in zip(masks, dropped, strict=True)]
        grown = share_oracle(means, sum(dropped), room)
    after = []
    for i, (kernel, mask) in enumerate(zip(kernels, masks, strict=True)):
        kept = oracle.top(np.abs(kernel).ravel(), mask.sum() - dropped[i], mask.ravel())
        new = kept | oracle.top(np.abs(momenta[i]).ravel(), grown[i], ~kept)
        after.append(new.reshape(mask.shape))
    return after, [np.where(m, k, 0) for m, k in zip(after, kernels, strict=True)]


@settings(max_examples=2, deadline=None)
@given(case=cases)
def test_agrees_with_the_oracle(case):
    every, end = 2, 41
    records, _ = two_kernels(case["shapes"], case["sparsity"])
    optimizer = kt.optimizers.SNFS(
        keras.optimizers.SGD(0.5),
        update_every=every,
        end=end,
        drop_fraction=kt.schedules.Constant(case["alpha"]),
        momentum=case["momentum"],
        redistribution=case["redistribution"],
    )
    optimizer.compiles_under_xla = case["jit_compile"]
    optimizer.build([record.kernel for record in records])

    @tf.function(jit_compile=case["jit_compile"])
    def step(gradients):
        masked = [tf.where(r.mask.value, g, 0.0) for r, g in zip(records, gradients, strict=True)]
        dense = {r.name: g for r, g in zip(records, gradients, strict=True)}
        optimizer.apply(masked, [r.kernel for r in records], dense_gradients=dense)

    rng = np.random.default_rng(case["seed"])
    masks = [record.mask.numpy() for record in records]
    kernels = [(rng.integers(-8, 9, m.shape) / 8).astype(np.float32) * m for m in masks]
    momenta = [np.zeros(m.shape, np.float32) for m in masks]
    for record, kernel in zip(records, kernels, strict=True):
        record.kernel.assign(kernel)
    total = sum(mask.sum() for mask in masks)
    for t in range(end):
        gradients = [
            np.where(rng.random(m.shape) < case["zeros"], 0, rng.integers(-8, 9, m.shape) / 8)
            for m in masks
        ]
        gradients = [g.astype(np.float32) for g in gradients]
        step([tf.constant(g) for g in gradients])
        decay = np.float64(case["momentum"])
        momenta = [
            (decay * m + (1 - decay) * g).astype(np.float32)
            for m, g in zip(momenta, gradients, strict=True)
        ]
        kernels = [
            k - np.float32(0.5) * np.where(m, g, 0)
            for k, m, g in zip(kernels, masks, gradients, strict=True)
        ]
        if oracle.due(t, 0, end, every):
            masks, kernels = dropped_and_grown(case, masks, kernels, momenta, gradients)
        for record, mask, kernel in zip(records, masks, kernels, strict=True):
            np.testing.assert_array_equal(record.mask.numpy(), mask, err_msg=f"step {t}")
            np.testing.assert_array_equal(record.kernel.numpy(), kernel, err_msg=f"step {t}")
            assert 1 <= record.count() <= record.size
        assert sum(mask.sum() for mask in masks) == total


def test_sparsity_moves_to_the_kernel_with_the_larger_gradients():
    records, _ = two_kernels([(20, 20), (20, 20)], 0.8)
    optimizer = kt.optimizers.SNFS(keras.optimizers.SGD(0.0), update_every=2, end=9)
    optimizer.build([record.kernel for record in records])
    rng = np.random.default_rng(0)
    for _ in range(9):
        gradients = [scale * rng.normal(size=(20, 20)).astype(np.float32) for scale in (1, 9)]
        dense = {r.name: tf.constant(g) for r, g in zip(records, gradients, strict=True)}
        zeros = [tf.zeros((20, 20))] * 2
        optimizer.apply(zeros, [r.kernel for r in records], dense_gradients=dense)
    first, second = (record.count() for record in records)
    assert first + second == 160
    assert second > 100


def test_config_round_trip():
    optimizer = kt.optimizers.SNFS("adam", momentum=0.5, redistribution="gradient", end=9)
    config = keras.saving.serialize_keras_object(optimizer)
    again = keras.saving.deserialize_keras_object(config)
    assert isinstance(again, kt.optimizers.SNFS)
    assert keras.saving.serialize_keras_object(again) == config


@pytest.mark.parametrize(
    "kwargs, message",
    [
        ({"momentum": 1.0}, "momentum=1.0"),
        ({"momentum": True}, "momentum=True"),
        ({"redistribution": "nonzeros"}, "redistribution='nonzeros'"),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises((TypeError, ValueError), match=message):
        kt.optimizers.SNFS("sgd", **kwargs)


@pytest.mark.parametrize(
    "make",
    [
        lambda inner: kt.optimizers.SNFS(inner, update_every=2, end=99, momentum=0.5),
        lambda inner: kt.optimizers.DNW(inner),
    ],
)
def test_a_dense_gradient_that_overflows_stops_the_step(make):
    """Off the mask too: what every step takes in must be finite."""
    (record,), _ = two_kernels([(6, 6)], 0.5)
    optimizer = make(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.5)))
    optimizer.build([record.kernel])
    dense = np.ones((6, 6), np.float32)
    dense[~record.mask.numpy()] = np.inf
    before, grads = record.kernel.numpy(), np.where(record.mask.numpy(), 1, 0).astype("float32")
    for gradient in (dense, dense):
        gradients = {record.name: tf.constant(gradient)}
        optimizer.apply([tf.constant(grads)], [record.kernel], dense_gradients=gradients)
    assert int(optimizer.iterations) == 0
    np.testing.assert_array_equal(record.kernel.numpy(), before)
    for variable in optimizer.variables:
        assert np.isfinite(variable.numpy()).all()


@pytest.mark.parametrize("method", ["RigL", "RigL, mean", "SNFS"])
def test_grown_weights_start_from_gradients_without_the_loss_scale(method):
    options = {"update_every": 2, "end": 9, "drop_fraction": 0.5, "grow_init": "grad_scale"}
    if method == "SNFS":
        options["momentum"] = 0.0
    scaled = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.0), initial_scale=1024.0)
    optimizer = METHODS[method].make(scaled, **options)
    (record,), _ = two_kernels([(8, 8)], 0.5)
    optimizer.build([record.kernel])
    before = record.mask.numpy()
    gradient = np.where(before, 0.0, 3.0).astype(np.float32)
    for _ in range(3):
        dense = {record.name: tf.constant(1024 * gradient)}
        optimizer.apply([tf.zeros((8, 8))], [record.kernel], dense_gradients=dense)
    grown = record.mask.numpy() & ~before
    assert grown.sum() == 16
    np.testing.assert_array_equal(record.kernel.numpy()[grown], 3.0)
