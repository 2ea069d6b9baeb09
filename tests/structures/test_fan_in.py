"""Constant fan-in: the ablation of neurons against plain NumPy, and what is never ablated."""

import keras
import numpy as np
import oracle
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_tickets as kt
from keras_tickets import masks

layers = keras.layers
FanIn = kt.structures.FanIn


def srigl(weights, mask, gradient, fraction, target, ablation):
    """One update of SRigL on (neurons, fan-in), written from the paper: the new mask."""
    neurons, fan_in = mask.shape
    everything = np.ones(mask.size, bool)
    drop, grow = np.abs(weights).ravel(), np.abs(gradient).ravel()
    count = mask.sum()
    dropped = int(np.float32(count) * np.float32(fraction))
    salient = oracle.top(drop, count - dropped, mask.ravel())
    salient |= oracle.top(grow, dropped, everything)
    salient = salient.reshape(mask.shape).sum(axis=1)
    k = target // neurons
    threshold = max(1, int(ablation * k) if ablation < 1 else int(ablation))
    descending = np.sort(salient)[::-1]
    threshold = min(threshold, descending[min(target // fan_in, neurons - 1)])
    live = salient >= threshold
    k = min(target // live.sum(), fan_in)
    kept = oracle.top(drop, count - dropped, (mask & live[:, None]).ravel()).reshape(mask.shape)
    new = np.zeros(mask.shape, bool)
    for i in np.flatnonzero(live):
        new[i] = oracle.top(np.abs(weights[i]), k, kept[i])
        new[i] |= oracle.top(np.abs(gradient[i]), k - new[i].sum(), ~new[i])
    return new


def rows(kernel):
    """A convolution's kernel as (neurons, fan-in)."""
    return kernel.transpose(3, 0, 1, 2).reshape(kernel.shape[3], -1)


cases = st.fixed_dictionaries(
    {
        "shape": st.tuples(
            st.integers(1, 2), st.integers(1, 2), st.integers(2, 9), st.integers(1, 12)
        ),
        "sparsity": st.sampled_from([0.0, 0.5, 0.8, 0.9]),
        "ablation": st.sampled_from([0.1, 0.3, 0.9, 1, 2, 2.5, 100]),
        "fraction": st.sampled_from([0.1, 0.3, 0.5, 0.99]),
        "seed": st.integers(0, 10**6),
        "jit_compile": st.booleans(),
    }
)


@settings(max_examples=2, deadline=None)
@given(case=cases)
def test_ablation_agrees_with_the_oracle(case):
    check_ablation(case)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(case=cases)
def test_ablation_agrees_with_the_oracle_in_more_cases(case):
    check_ablation(case)


def check_ablation(case):
    shape, rng = case["shape"], np.random.default_rng(case["seed"])
    layer = kt.layers.Sparse(
        layers.Conv2D(shape[3], shape[:2], use_bias=False),
        case["sparsity"],
        structure=FanIn(case["ablation"]),
        seed=case["seed"],
    )
    layer.build((None, 4, 4, shape[2]))
    (record,) = layer.masked_kernels
    optimizer = kt.optimizers.RigL(
        keras.optimizers.SGD(0.0), update_every=2, end=99, drop_fraction=case["fraction"]
    )
    optimizer.compiles_under_xla = case["jit_compile"]
    optimizer.build([record.kernel])
    zeros = tf.zeros(shape)

    @tf.function(jit_compile=case["jit_compile"])
    def step(gradient):
        optimizer.apply([zeros], [record.kernel], dense_gradients={record.name: gradient})

    mask = before = record.mask.numpy()
    live = set()
    assert (rows(mask).sum(axis=1) == record.target // shape[3]).all()
    for t in range(25):
        weights = (rng.integers(-8, 9, shape) / 8).astype(np.float32) * mask
        scale = rng.choice([0, 0.125, 1.0], shape[3])
        gradient = (rng.integers(-8, 9, shape) / 8 * scale).astype(np.float32)
        record.kernel.assign(weights)
        step(tf.constant(gradient))
        mask = record.mask.numpy()
        if t > 0 and t % 2 == 0:
            expected = srigl(
                rows(weights),
                rows(before),
                rows(gradient),
                case["fraction"],
                record.target,
                case["ablation"],
            )
            np.testing.assert_array_equal(rows(mask), expected, err_msg=f"step {t}")
        before = mask
        counts = rows(mask).sum(axis=1)
        assert len(set(counts[counts > 0])) == 1
        assert record.target - (counts > 0).sum() < record.count() <= record.target
        live.add(int((counts > 0).sum()))
    if case["sparsity"] == 0.0:
        assert live == {shape[3]}


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
    smaller = kt.compact(model)
    used = model.masks["head/kernel"].any(axis=1)
    assert smaller.get_layer("hidden").units == (~dead & used).sum() < 10
    np.testing.assert_allclose(smaller(data), model(data), rtol=1e-5, atol=1e-5)


def test_a_neuron_comes_back_when_its_gradients_are_salient():
    layer = kt.layers.Sparse(layers.Dense(4, use_bias=False), 0.75, structure=FanIn(0.9))
    layer.build((None, 8))
    (record,) = layer.masked_kernels

    def update(mask, gradient):
        scores = [tf.constant(np.float32(values)) for values in (mask, gradient)]
        half = tf.constant(0.5)
        new = record.layout.update(tf.constant(mask), *scores, half, target=record.target)
        return new.numpy()

    mask = np.zeros((8, 4), bool)
    mask[:2] = True
    quiet, loud = np.zeros((8, 4)), np.zeros((8, 4))
    quiet[:, :3], loud[:, 3] = 1, 1
    ablated = update(mask, quiet)
    assert (ablated.sum(axis=0) == [4, 4, 0, 0]).all()
    assert (update(ablated, loud).sum(axis=0) == [4, 0, 0, 4]).all()


def ablations(model):
    return {record.name: record.layout.ablation for record in masks.masked_kernels(model)}


def two_outputs():
    inputs = keras.Input((6,))
    x = layers.Dense(8, activation="relu", name="trunk")(inputs)
    first = layers.Dense(8, activation="relu", name="first")(x)
    return keras.Model(
        inputs,
        {
            "class": layers.Softmax()(layers.Dense(4, name="logits")(first)),
            "value": layers.Dense(2, activation="tanh", name="value")(x),
        },
    )


def residual():
    inputs = keras.Input((6,))
    x = layers.Dense(8, name="stem")(inputs)
    branch = layers.Dense(8, name="branch_out")(layers.Dense(8, name="branch_in")(x))
    return keras.Model(inputs, layers.Add()([x, branch]))


def nested():
    encoder = keras.Sequential(
        [keras.Input((6,)), layers.Dense(8, name="fc1"), layers.Dense(8, name="fc2")],
        name="encoder",
    )
    return keras.Sequential([keras.Input((6,)), encoder, layers.LayerNormalization()])


def recurrent():
    inputs = keras.Input((5, 6))
    x = layers.LSTM(8, return_sequences=True, name="lower")(inputs)
    return keras.Model(inputs, layers.Bidirectional(layers.GRU(4, name="gru"), name="upper")(x))


@keras.saving.register_keras_serializable("fan_in_tests")
class Subclassed(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.head = layers.Dense(4, name="head")
        self.attention = layers.MultiHeadAttention(2, 4, name="attention")
        self.hidden = layers.Dense(8, name="hidden")

    def call(self, x):
        x = self.hidden(x)
        return self.head(self.attention(x, x))


def subclassed():
    model = Subclassed()
    model(np.zeros((1, 3, 6), "float32"))
    return model


@pytest.mark.parametrize(
    "make, at_output",
    [
        (two_outputs, {"logits/kernel", "value/kernel"}),
        (residual, {"stem/kernel", "branch_out/kernel"}),
        (nested, {"encoder/fc2/kernel"}),
        (
            recurrent,
            {
                f"upper/{way}_gru/gru_cell/{kernel}"
                for way in ("forward", "backward")
                for kernel in ("kernel", "recurrent_kernel")
            },
        ),
        (subclassed, {"head/kernel"}),
    ],
)
def test_kernels_that_make_outputs_are_never_ablated(make, at_output, tmp_path):
    model = kt.sparsify(make(), 0.5, structure=FanIn(0.4), distribution="uniform")
    expected = {path: None if path in at_output else 0.4 for path in ablations(model)}
    assert ablations(model) == expected
    assert at_output < set(expected)
    model.save(tmp_path / "model.keras")
    assert ablations(keras.models.load_model(tmp_path / "model.keras")) == expected


def test_a_dense_head_leaves_no_masked_kernel_at_the_output():
    model = kt.sparsify(two_outputs(), {"trunk|first": 0.5}, structure=FanIn(0.4))
    assert ablations(model) == {"trunk/kernel": 0.4, "first/kernel": 0.4}
