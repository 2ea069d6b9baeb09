"""`Sparse` changes the kernels and nothing else."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from slow_cases import slow_unless

import keras_tickets as kt

RNG = np.random.default_rng(0)


@keras.saving.register_keras_serializable("tests")
class Noisy(keras.layers.Layer):
    """A custom layer with its own weight, seed state, counter and `add_loss`."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seeds = keras.random.SeedGenerator(3)

    def build(self, input_shape):
        size = input_shape[-1]
        self.w = self.add_weight(shape=(size, size), name="w")
        self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False, name="calls")

    def call(self, x):
        self.calls.assign_add(1.0)
        noise = keras.random.normal(keras.ops.shape(x), seed=self.seeds)
        self.add_loss(1e-3 * keras.ops.mean(keras.ops.square(x)))
        return x @ self.w + 0.1 * noise


def convolutional():
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(6, 3, padding="same", kernel_regularizer="l2")(inputs)
    x = keras.layers.BatchNormalization(momentum=0.8)(x)
    x = keras.layers.Activation("relu")(x)
    shared = keras.layers.Conv2D(6, 3, padding="same", activity_regularizer="l2")
    x = shared(shared(x))
    x = keras.layers.SeparableConv2D(4, 3)(x)
    x = keras.layers.Conv2DTranspose(4, 3)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dropout(0.4, seed=1)(x)
    return keras.Model(inputs, keras.layers.Dense(3)(x))


def sequential():
    inputs = keras.Input((6,), dtype="int32")
    x = keras.layers.Embedding(20, 8, mask_zero=True)(inputs)
    x = keras.layers.Bidirectional(keras.layers.LSTM(5, return_sequences=True, dropout=0.2))(x)
    x = keras.layers.MultiHeadAttention(2, 4, dropout=0.1)(x, x)
    x = keras.layers.TimeDistributed(keras.layers.Dense(8))(x)
    x = Noisy()(x)
    x = keras.layers.GRU(7)(x)
    return keras.Model(inputs, keras.layers.Dense(3)(x))


DATA = {
    convolutional: RNG.normal(size=(48, 8, 8, 3)).astype("float32"),
    sequential: RNG.integers(0, 20, size=(48, 6)).astype("int32"),
}
LABELS = RNG.integers(0, 3, size=48)


@pytest.mark.parametrize(
    "make, optimizer",
    slow_unless(
        lambda make, optimizer: make is sequential and optimizer == "adam",
        itertools.product([convolutional, sequential], ["sgd", "adam"]),
    ),
)
def test_all_true_masks_train_exactly_as_the_unwrapped_model(make, optimizer):
    keras.utils.set_random_seed(7)
    dense = make()
    sparse = kt.sparsify(dense, 0.5, mask="ones")
    assert len(sparse.masks) >= 4
    histories = []
    for model in (dense, sparse):
        keras.utils.set_random_seed(11)
        model.compile(
            keras.optimizers.get(optimizer),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        fitted = model.fit(
            DATA[make],
            LABELS,
            batch_size=16,
            epochs=3,
            verbose=0,
            shuffle=False,
            validation_data=(DATA[make], LABELS),
        )
        histories.append(fitted.history)
    for name, values in histories[0].items():
        np.testing.assert_allclose(histories[1][name], values, rtol=2e-5, err_msg=name)
    plain = kt.strip(sparse)
    for ours, theirs in zip(plain.variables, dense.variables, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-5, err_msg=theirs.path)


def test_inner_state_and_losses_are_carried_out():
    layer = kt.layers.Sparse(Noisy(name="noisy"), 0.5)
    x = tf.ones((2, 4))
    first, second = layer(x), layer(x)
    assert np.abs(first - second).max() > 1e-3, "the noise repeats"
    assert float(layer.layer.calls) == 2.0
    assert len(layer.losses) == 1


def test_dropout_does_not_repeat_inside_one_sparse_layer():
    block = keras.Sequential([keras.layers.Dense(32, name="d"), keras.layers.Dropout(0.5, seed=1)])
    block.build((None, 4))
    layer = kt.layers.Sparse(block, 0.0)
    x = tf.ones((1, 4))
    assert np.any((layer(x, training=True) == 0) != (layer(x, training=True) == 0))
    np.testing.assert_array_equal(layer(x, training=False), layer(x, training=False))


class Assigning(keras.layers.Layer):
    """Assigns a weight and an average of it, and then computes with both."""

    def build(self, input_shape):
        size = (input_shape[-1], input_shape[-1])
        self.w = self.add_weight(shape=size, name="w")
        self.mean = self.add_weight(shape=size, trainable=False, name="mean")

    def call(self, x):
        self.w.assign(self.w / keras.ops.sum(keras.ops.square(self.w)) + 0.1)
        self.mean.assign(0.9 * self.mean + 0.1 * self.w)
        return x @ self.w + x @ self.mean


def normalized():
    return keras.layers.SpectralNormalization(keras.layers.Dense(6))


@pytest.mark.parametrize("make", [Assigning, normalized])
def test_no_gradient_flows_through_an_assignment(make):
    """By the dense layer beside ours, which reads its variables anew."""
    layers = [make(), make()]
    x = RNG.normal(size=(4, 6)).astype("float32")
    for layer in layers:
        layer(x)
    for ours, theirs in zip(layers[1].variables, layers[0].variables, strict=True):
        ours.assign(theirs)
    sparse = kt.layers.Sparse(layers[1], 0.0)
    gradients = []
    for layer in (layers[0], sparse):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(
                layer(x, **({"training": True} if make is normalized else {})) ** 2
            )
        gradients.append(tape.gradient(loss, layer.trainable_variables))
    for ours, theirs in zip(*gradients[::-1], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    for ours, theirs in zip(sparse.layer.variables, layers[0].variables, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


class InPython(keras.layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner, self.norm = keras.layers.Dense(6), keras.layers.BatchNormalization()

    def call(self, x, training=False):
        return self.norm(self.halved(self.inner(x)), training=training)

    def halved(self, x):
        return self.scaled(x / 2 if tf.reduce_sum(x) > 0 else x)

    def scaled(self, x):
        return x * tf.reduce_sum(self.inner.kernel)


class InGraphs(InPython):
    """Functions of TensorFlow: two of the class, one of the layer alone."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.scaled = tf.function(self.scaled)

    call, halved = tf.function(InPython.call), tf.function(InPython.halved)


@pytest.mark.parametrize("in_graph", [False, True])
def test_methods_that_are_tensorflow_functions(in_graph):
    """They would go on with the kernels that they were first traced with."""
    layer, dense = InGraphs(), InPython()
    x = RNG.normal(size=(4, 6)).astype("float32")
    layer(x), dense(x)
    sparse = kt.layers.Sparse(layer, 0.5)
    sparse(x)
    (record,) = sparse.masked_kernels
    run = tf.function(sparse) if in_graph else sparse
    for factor in (1.0, -3.0):
        record.kernel.assign(factor * RNG.normal(size=(6, 6)))
        for ours, theirs in zip(layer.variables, dense.variables, strict=True):
            theirs.assign(ours)
        dense.inner.kernel.assign(np.where(record.mask.numpy(), record.kernel.numpy(), 0))
        for training in (False, True):
            outputs = run(x, training=training)
            np.testing.assert_allclose(outputs, dense(x, training=training), rtol=1e-4, atol=1e-5)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(run(x) ** 2)
        gradient = tape.gradient(loss, record.kernel.value).numpy()
        assert gradient.any() and not gradient[~record.mask.numpy()].any()


def test_what_a_layer_assigns_to_its_kernel_is_masked():
    layer = kt.layers.Sparse(Assigning(), 0.5)
    layer(tf.ones((2, 4)))
    (record,) = layer.masked_kernels
    assert (record.kernel.numpy() != 0).sum() == record.count() == 8


def test_a_masked_weight_has_no_influence_whatever_it_holds():
    layer = kt.layers.Sparse(keras.layers.Dense(3, use_bias=False), 0.5)
    layer.build((None, 4))
    (record,) = layer.masked_kernels
    expected = layer(tf.ones((1, 4))).numpy()
    record.kernel.assign(np.where(record.mask.numpy(), record.kernel.numpy(), np.inf))
    np.testing.assert_array_equal(layer(tf.ones((1, 4))), expected)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_takes_the_dtype_policy_of_the_inner_layer(policy):
    layer = kt.layers.Sparse(keras.layers.Dense(3, dtype=policy), 0.5)
    outputs = layer(tf.ones((2, 4)))
    assert layer.dtype_policy.name == policy
    assert outputs.dtype == layer.compute_dtype
    (record,) = layer.masked_kernels
    assert record.kernel.dtype == "float32"
    dense = keras.layers.Dense(3, dtype=policy)
    dense.build((None, 4))
    dense.kernel.assign(np.where(record.mask.numpy(), record.kernel.numpy(), 0))
    np.testing.assert_array_equal(
        keras.ops.cast(outputs, "float32"), keras.ops.cast(dense(tf.ones((2, 4))), "float32")
    )


def test_masks_of_a_sequence_pass_through():
    inputs = keras.Input((5,), dtype="int32")
    embedded = keras.layers.Embedding(9, 4, mask_zero=True)(inputs)
    lstm = keras.layers.LSTM(3, name="lstm")
    dense = keras.Model(inputs, lstm(embedded))
    sparse = kt.sparsify(dense, 0.0)
    x = np.array([[1, 2, 0, 0, 0], [3, 4, 5, 6, 7]])
    np.testing.assert_allclose(sparse(x), dense(x), rtol=1e-6)
    assert np.abs(sparse(x) - sparse(np.where(x == 0, 8, x)))[0].max() > 1e-4


LAYERS = {
    "Dense": (lambda: keras.layers.Dense(5), (4,)),
    "Conv1D": (lambda: keras.layers.Conv1D(6, 3, groups=2), (7, 4)),
    "Conv2D": (lambda: keras.layers.Conv2D(5, 3, strides=2), (7, 7, 4)),
    "Conv3D": (lambda: keras.layers.Conv3D(3, 2), (4, 4, 4, 2)),
    "Conv2DTranspose": (lambda: keras.layers.Conv2DTranspose(5, 3), (4, 4, 3)),
    "SeparableConv2D": (lambda: keras.layers.SeparableConv2D(5, 3), (5, 5, 4)),
    "EinsumDense": (lambda: keras.layers.EinsumDense("abc,cde->abde", (None, 3, 5)), (2, 4)),
    "SimpleRNN": (lambda: keras.layers.SimpleRNN(6), (5, 4)),
    "GRU": (lambda: keras.layers.GRU(6), (5, 4)),
    "LSTM": (lambda: keras.layers.LSTM(6, return_sequences=True), (5, 4)),
    "Bidirectional": (lambda: keras.layers.Bidirectional(keras.layers.GRU(4)), (5, 4)),
    "TimeDistributed": (lambda: keras.layers.TimeDistributed(keras.layers.Dense(6)), (5, 4)),
}


@pytest.mark.parametrize("name", list(LAYERS))
def test_computes_what_the_layer_does_on_masked_kernels(name):
    make, shape = LAYERS[name]
    x = RNG.normal(size=(3, *shape)).astype("float32")
    layer = make()
    sparse = kt.layers.Sparse(layer, 0.6)
    outputs = sparse(x)
    assert sparse.masked_kernels
    for record in sparse.masked_kernels:
        assert record.count() == record.target < record.size
    again = type(layer).from_config(layer.get_config())
    again(x)
    for target, source in zip(again.variables, layer.variables, strict=True):
        target.assign(source)
    np.testing.assert_allclose(outputs, again(x), rtol=1e-5, atol=1e-6)
    assert sparse.compute_output_spec(keras.KerasTensor(x.shape)).shape == outputs.shape


def test_chosen_kernels_only():
    layer = kt.layers.Sparse(
        keras.layers.MultiHeadAttention(2, 4, name="mha"), {"query/kernel": 0.75}
    )
    layer(tf.ones((1, 3, 8)), tf.ones((1, 3, 8)))
    (record,) = layer.masked_kernels
    assert record.name == "mha/query/kernel"
    assert record.count() == 16


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"sparsity": 1.0}, "sparsity=1.0"),
        ({"sparsity": -0.1}, "sparsity=-0.1"),
        ({"sparsity": float("nan")}, "nan"),
        ({"sparsity": "0.9"}, "'0.9'"),
        ({"mask": "best"}, "mask='best'"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises((ValueError, TypeError), match=message):
        kt.layers.Sparse(keras.layers.Dense(3), **arguments)


def test_sparsity_of_an_unknown_kernel():
    layer = kt.layers.Sparse(keras.layers.Dense(3, name="fc"), {"kernels": 0.5})
    with pytest.raises(ValueError, match="kernels.*'kernel'"):
        layer.build((None, 4))
