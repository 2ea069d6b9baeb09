"""Structures hold at every step, count exactly, and agree with plain NumPy."""

import keras
import numpy as np
import oracle
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_tickets as kt
from keras_tickets import masks, selection

NM, Block, Channel, FanIn = (
    kt.structures.NM,
    kt.structures.Block,
    kt.structures.Channel,
    kt.structures.FanIn,
)


@settings(max_examples=25, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 12)),
    seed=st.integers(0, 10**6),
    each=st.booleans(),
    compiled=st.booleans(),
)
def test_choose_rows_agrees_with_sorting(shape, seed, each, compiled):
    rng = np.random.default_rng(seed)
    scores = (rng.integers(-3, 4, shape) / 2).astype(np.float32)
    among = rng.random(shape) < 0.7
    k = rng.integers(-1, shape[1] + 2, shape[0] if each else ())
    choose = tf.function(selection.choose_rows, jit_compile=compiled)
    got = choose(tf.constant(scores), tf.constant(k, tf.int32), among=tf.constant(among)).numpy()
    for row in range(shape[0]):
        count = int(np.broadcast_to(k, shape[:1])[row])
        np.testing.assert_array_equal(got[row], oracle.top(scores[row], count, among[row]))


def network():
    """Dense, Conv2D and EinsumDense kernels with sizes that 4 divides."""
    inputs = keras.Input((6, 6, 4))
    x = keras.layers.Conv2D(8, 3, activation="relu", name="conv")(inputs)
    x = keras.layers.Reshape((16, 8))(x)
    x = keras.layers.EinsumDense("abc,cde->abde", (16, 4, 4), activation="relu", name="einsum")(x)
    x = keras.layers.Flatten()(x)
    x = keras.layers.Dense(12, activation="relu", name="dense")(x)
    return keras.Model(inputs, keras.layers.Dense(4, name="head")(x))


def rows_of(path, mask):
    """A mask as (outputs, spatial positions, inputs)."""
    if path.startswith("conv"):
        return mask.transpose(3, 0, 1, 2).reshape(8, 9, 4)
    if path.startswith("einsum"):
        return mask.reshape(8, 16).T[:, None]
    return mask.T[:, None]


def check_nm(path, mask):
    assert (rows_of(path, mask).reshape(-1, 4).sum(axis=1) == 2).all(), path


def check_fan_in(path, mask):
    rows = rows_of(path, mask)
    counts = rows.reshape(len(rows), -1).sum(axis=1)
    live = counts[counts > 0]
    assert (live == live[0]).all(), path


def check_block(path, mask):
    rows = rows_of(path, mask)
    outputs, spatial, inputs = rows.shape
    tiles = rows.reshape(outputs // 2, 2, spatial, inputs // 4, 4)
    kept = tiles.sum(axis=(1, 4))
    assert np.isin(kept, (0, 8)).all(), path


def check_channel(path, mask):
    rows = rows_of(path, mask)
    rows = rows.reshape(len(rows), -1)
    assert (rows.all(axis=1) | ~rows.any(axis=1)).all(), path


CASES = {
    "nm": (NM(2, 4), 0.5, check_nm),
    "fan_in": (FanIn(), 0.75, check_fan_in),
    "fan_in_constant": (FanIn(None), 0.75, check_fan_in),
    "block": (Block((4, 2)), 0.75, check_block),
    "channel": (Channel(), 0.5, check_channel),
}
X = np.random.default_rng(0).normal(size=(320, 6, 6, 4)).astype("float32")
Y = np.argmax(X.reshape(320, -1) @ np.random.default_rng(1).normal(size=(144, 4)), axis=1)
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
WINDOW = {"update_every": 3, "end": 100, "drop_fraction": 0.4}
METHODS = {
    "static": (lambda: kt.optimizers.Static("adam"), "random"),
    "set": (lambda: kt.optimizers.SET("adam", **WINDOW), "random"),
    "rigl": (lambda: kt.optimizers.RigL("adam", **WINDOW), "magnitude"),
    "snfs": (lambda: kt.optimizers.SNFS("adam", redistribution=None, **WINDOW), "random"),
    "dnw": (lambda: kt.optimizers.DNW("adam"), "ones"),
    "topkast": (lambda: kt.optimizers.TopKAST("adam", update_every=3), "ones"),
    "gradual": (lambda: kt.optimizers.GradualMagnitude("adam", update_every=3, end=12), "ones"),
}


@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize("structure", sorted(CASES))
def test_structures_hold_after_every_step(structure, method, tmp_path):
    structure, sparsity, check = CASES[structure]
    make, start = METHODS[method]
    keras.utils.set_random_seed(1)
    model = kt.sparsify(
        network(), sparsity, structure=structure, mask=start, distribution="uniform"
    )
    plan = kt.plan(network(), sparsity, structure=structure, distribution="uniform")
    targets = {r.path: r.target for r in masks.masked_kernels(model)}
    assert targets == {row.path: row.nonzeros for row in plan.rows}
    first, changed = model.masks, False
    ablates = isinstance(structure, FanIn) and structure.ablation
    due = {"dnw": 1, "topkast": 1, "gradual": 13}.get(method, 0)

    def look(batch, logs):
        nonlocal changed
        for path, mask in model.masks.items():
            if batch + 1 >= due:
                check(path, mask)
                exact = mask.sum() == targets[path]
                assert exact or (ablates and mask.sum() <= targets[path]), path
            changed |= bool((mask != first[path]).any())

    model.compile(make(), LOSS)
    callback = keras.callbacks.LambdaCallback(on_train_batch_end=look)
    model.fit(X, Y, batch_size=16, verbose=0, callbacks=[callback])
    # The gradient of a channel that has no weights is 0 behind a ReLU: it cannot come back by it.
    stuck = isinstance(structure, Channel) and method in ("rigl", "snfs")
    assert changed == (method != "static" and not stuck)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(X[:4]), model(X[:4]))
    again.fit(X, Y, batch_size=16, verbose=0)
    for path, mask in again.masks.items():
        check(path, mask)


def srigl(weights, mask, gradient, fraction, target, ablation):
    """One update of SRigL on (inputs, outputs), written from the paper."""
    size, (fan_in, neurons) = mask.size, mask.shape
    drop, grow = np.abs(weights).T.ravel(), np.abs(gradient).T.ravel()
    active = mask.T.ravel()
    everything = np.ones(size, bool)
    dropped = int(np.float32(active.sum()) * np.float32(fraction))
    stay = active.sum() - dropped
    salient = oracle.top(drop, stay, active) | oracle.top(grow, dropped, everything)
    counts = salient.reshape(neurons, fan_in).sum(axis=1)
    enough = max(int(ablation * (target // neurons)), 1)
    ranked = sorted(counts, reverse=True)
    enough = min(enough, ranked[min(target // fan_in, neurons - 1)])
    live = counts >= enough
    k = min(target // live.sum(), fan_in)
    kept = oracle.top(drop, stay, active & np.repeat(live, fan_in)).reshape(neurons, fan_in)
    new = np.zeros((neurons, fan_in), bool)
    for i in np.flatnonzero(live):
        row = slice(i * fan_in, (i + 1) * fan_in)
        left = oracle.top(drop[row], k, kept[i])
        new[i] = left | oracle.top(grow[row], k - left.sum(), ~left)
    return new.T


@settings(max_examples=15, deadline=None)
@given(
    shape=st.tuples(st.integers(2, 12), st.integers(2, 12)),
    sparsity=st.sampled_from([0.5, 0.8, 0.9]),
    ablation=st.sampled_from([0.3, 0.9, 2]),
    seed=st.integers(0, 10**6),
    compiled=st.booleans(),
)
def test_ablation_agrees_with_the_oracle(shape, sparsity, ablation, seed, compiled):
    layer = kt.layers.Sparse(
        keras.layers.Dense(shape[1], use_bias=False), sparsity, structure=FanIn(ablation)
    )
    layer.build((None, shape[0]))
    (record,) = layer.masked_kernels
    optimizer = kt.optimizers.RigL(
        keras.optimizers.SGD(0.0), update_every=2, begin=1, end=99, drop_fraction=0.5
    )
    optimizer.compiles_under_xla = compiled
    optimizer.build([record.kernel])

    @tf.function(jit_compile=compiled)
    def step(gradient):
        zeros = tf.zeros(shape)
        optimizer.apply([zeros], [record.kernel], dense_gradients={record.path: gradient})

    rng, mask = np.random.default_rng(seed), record.mask.numpy()
    share = 0.3 if ablation == 0.3 else ablation
    for t in range(16):
        weights = (rng.integers(-8, 9, shape) / 8).astype(np.float32) * mask
        scale = np.where(rng.random(shape[1]) < 0.5, 0.125, 1.0)
        gradient = (rng.integers(-8, 9, shape) / 8 * scale).astype(np.float32)
        record.kernel.assign(weights)
        step(tf.constant(gradient))
        if t % 2 == 1:
            limit = share if share >= 1 else None
            target = record.target
            ratio = share if limit is None else share / max(target // shape[1], 1)
            mask = srigl(weights, mask, gradient, 0.5, target, ratio)
        np.testing.assert_array_equal(record.mask.numpy(), mask, err_msg=f"step {t}")
        assert mask.sum() <= record.target


def test_an_ablated_neuron_gives_its_bias():
    inputs = keras.Input((12,))
    x = keras.layers.Dense(10, name="hidden", bias_initializer="ones")(inputs)
    model = kt.sparsify(
        keras.Model(inputs, keras.layers.Dense(3, name="head")(x)),
        0.75,
        structure=FanIn(0.99),
        distribution="uniform",
    )
    model.compile(kt.optimizers.RigL("sgd", update_every=2, end=99, drop_fraction=0.5), "mse")
    data = np.random.default_rng(0).normal(size=(64, 12)).astype("float32")
    model.fit(data, np.zeros((64, 3)), batch_size=4, verbose=0)
    dead = ~model.masks["hidden/kernel"].any(axis=0)
    assert 0 < dead.sum() < 10
    assert model.masks["head/kernel"].any(axis=0).all()
    hidden = keras.Model(model.inputs, model.get_layer("hidden").output)(data).numpy()
    bias = model.get_layer("hidden").layer.bias.numpy()
    assert (hidden[:, dead] == bias[dead]).all()
    assert kt.summary(model).rows[0].nonzeros == model.masks["hidden/kernel"].sum()


@pytest.mark.parametrize(
    "structure, sparsity, message",
    [
        (NM(2, 5), 0.6, "m=5 does not divide its 4 inputs"),
        (NM(2, 4), 0.9, "the sparsity is 0.5. Received: 0.9"),
        (Block((8, 2)), 0.5, "4 inputs and 8 outputs must be multiples of the block's 8 and 2"),
        (Block((4, 16)), 0.5, "multiples of the block's 4 and 16"),
    ],
)
def test_what_does_not_fit_is_named(structure, sparsity, message):
    with pytest.raises(ValueError, match=message):
        kt.sparsify(network(), sparsity, structure=structure)
    with pytest.raises(ValueError, match=message):
        kt.plan(network(), sparsity, structure=structure)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: NM(4, 4), "0 < n < m. Received: n=4, m=4"),
        (lambda: NM(2.0, 4), "n=2.0"),
        (lambda: Block(4), "shape=4"),
        (lambda: Block((0, 4)), "shape="),
        (lambda: FanIn(0), "ablation=0"),
        (
            lambda: kt.sparsify(network(), 0.5, structure=Channel(), distribution="global"),
            "ranks single weights",
        ),
        (
            lambda: kt.optimizers.SNFS("sgd", end=9).build(
                kt.sparsify(network(), 0.5, structure=Channel()).trainable_variables
            ),
            "needs masks of single weights",
        ),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
