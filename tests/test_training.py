"""`compile`, `fit`, `evaluate`, `predict` and `train_on_batch` of a sparse model."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from networks import LOSS, labeled, mlp
from slow_cases import slow_unless

import keras_tickets as kt

X, Y = labeled(320)


def sparse_network():
    return kt.sparsify(mlp(), 0.7)


def rigl(**kwargs):
    return kt.optimizers.RigL(keras.optimizers.Adam(0.01), **{"update_every": 5, **kwargs})


def dataset(batches, size=32):
    return tf.data.Dataset.from_tensor_slices((X, Y)).repeat().batch(size).take(batches)


WAYS = {
    "finite dataset": (lambda: dataset(10), {}),
    "steps_per_epoch": (lambda: dataset(1000), {"steps_per_epoch": 10}),
    "arrays": (lambda: (X, Y), {"batch_size": 32}),
}


@pytest.mark.parametrize(
    "way, steps_per_execution",
    slow_unless(
        lambda way, k: (way, k) == ("steps_per_epoch", 7),
        itertools.product(WAYS, [1, 4, 7, 100]),
    ),
)
def test_every_step_is_taken_once_whatever_the_steps_per_call(way, steps_per_execution):
    model = sparse_network()
    model.compile(rigl(), LOSS, metrics=["accuracy"], steps_per_execution=steps_per_execution)
    make, arguments = WAYS[way]
    data = make()
    x, y = data if isinstance(data, tuple) else (data, None)
    validation = dataset(9)
    history = model.fit(
        x, y, epochs=3, verbose=0, validation_data=validation, shuffle=False, **arguments
    ).history
    assert int(model.optimizer.iterations) == 30
    expected = model.evaluate(validation, verbose=0, return_dict=True)
    assert history["val_loss"][-1] == pytest.approx(expected["loss"], rel=1e-6)
    logits = np.concatenate([model.predict_on_batch(batch) for batch, _ in validation])
    labels = np.concatenate([label for _, label in validation])
    assert expected["accuracy"] == pytest.approx((logits.argmax(1) == labels).mean())
    np.testing.assert_allclose(model.predict(validation, verbose=0), logits, atol=1e-5)


def test_a_data_set_of_unknown_length():
    def batches():
        for i in range(10):
            yield X[i * 32 : (i + 1) * 32], Y[i * 32 : (i + 1) * 32]

    spec = (tf.TensorSpec((None, 10)), tf.TensorSpec((None,), tf.int64))
    unknown = tf.data.Dataset.from_generator(batches, output_signature=spec)
    model = sparse_network()
    model.compile(rigl(end=100), LOSS, steps_per_execution=4)
    model.fit(unknown, epochs=2, verbose=0)
    assert int(model.optimizer.iterations) == 20


@pytest.mark.parametrize(
    "jit_compile", slow_unless(lambda jit_compile: not jit_compile, [False, True])
)
def test_steps_per_call_do_not_change_what_is_learned(jit_compile):
    weights = []
    for arguments in ({}, {"steps_per_execution": 8, "jit_compile": jit_compile}):
        model = sparse_network()
        model.compile(rigl(), LOSS, **{"jit_compile": False, **arguments})
        model.fit(dataset(20), epochs=2, verbose=0)
        weights.append([w.numpy() for w in model.trainable_weights])
    for one, several in zip(*weights, strict=True):
        np.testing.assert_allclose(one, several, atol=2e-5)


def test_no_retracing():
    model = sparse_network()
    traces, forward = [], model.forward
    model.forward = lambda x: (traces.append(1), forward(x))[1]
    model.compile(rigl(), LOSS, steps_per_execution=4)
    model.fit(dataset(4), epochs=1, verbose=0)
    first = len(traces)
    model.fit(dataset(30), epochs=3, verbose=0)
    assert len(traces) == first


def test_batch_by_batch():
    model = sparse_network()
    model.compile(rigl(end=100), LOSS, metrics=["accuracy"])
    losses = [model.train_on_batch(X, Y, return_dict=True)["loss"] for _ in range(30)]
    assert losses[-1] < losses[0]
    assert int(model.optimizer.iterations) == 30
    assert model.test_on_batch(X, Y)[0] < losses[0]


def test_eagerly():
    model = sparse_network()
    before = model.masks
    model.compile(rigl(end=100), LOSS, run_eagerly=True)
    model.fit(dataset(8), verbose=0)
    assert any(np.any(before[path] != mask) for path, mask in model.masks.items())


@pytest.mark.slow
def test_sample_and_class_weights():
    models = [sparse_network(), sparse_network()]
    weights = {0: 1.0, 1: 2.0, 2: 0.0}
    for model, arguments in zip(
        models,
        [{"class_weight": weights}, {"sample_weight": np.vectorize(weights.get)(Y)}],
        strict=True,
    ):
        model.compile(rigl(), LOSS)
        model.fit(X, Y, batch_size=32, shuffle=False, verbose=0, **arguments)
    for a, b in zip(models[0].trainable_weights, models[1].trainable_weights, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_a_plain_optimizer_is_static():
    model = sparse_network()
    model.compile("adam", LOSS)
    assert isinstance(model.optimizer, kt.optimizers.Static)
    assert isinstance(model.optimizer.inner_optimizer, keras.optimizers.Adam)
    model.optimizer.learning_rate = 0.5
    assert float(model.optimizer.inner_optimizer.learning_rate) == 0.5


def test_loss_scaling_sits_inside():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((10,), dtype="float32")
    outputs = keras.layers.Dense(3, dtype="mixed_float16")(inputs)
    dense = keras.Model(inputs, outputs)
    dense.dtype_policy = "mixed_float16"
    model = kt.sparsify(dense, 0.5)
    model.dtype_policy = "mixed_float16"
    model.compile(rigl(), LOSS)
    assert isinstance(model.optimizer.inner_optimizer, keras.optimizers.LossScaleOptimizer)
    assert isinstance(model.optimizer.core_optimizer, keras.optimizers.Adam)


@pytest.mark.parametrize(
    "end, last", slow_unless(lambda end, last: end == 0.5, [(0.5, 15), ("1ep", 10)])
)
def test_steps_are_resolved_at_the_first_fit(end, last):
    model = sparse_network()
    model.compile(rigl(end=end), LOSS, steps_per_execution=3)
    model.fit(dataset(10), epochs=3, verbose=0)
    assert model.optimizer.window == (0, last)
    model.fit(dataset(10), epochs=9, verbose=0)
    assert model.optimizer.window == (0, last)


def test_accumulated_batches_count_as_one_step():
    """With 3 batches a step and an update every 2 steps, masks change only as a step ends."""
    model = sparse_network()
    inner = keras.optimizers.SGD(0.1, gradient_accumulation_steps=3)
    model.compile(kt.optimizers.RigL(inner, update_every=2, end=0.75, mean_over=3), LOSS)
    masks = []
    keep = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: masks.append(model.masks["fc1/kernel"])
    )
    before = model.masks["fc1/kernel"]
    model.fit(dataset(24), verbose=0, callbacks=[keep])
    changed = [
        i
        for i, (a, b) in enumerate(zip([before, *masks[:-1]], masks, strict=True))
        if np.any(a != b)
    ]
    assert model.optimizer.window == (0, 6)
    assert changed == [8, 14]
    assert int(model.optimizer.iterations) == 8


def test_the_mean_dense_gradient_of_a_step_is_what_rigl_grows_by():
    layer = kt.layers.Sparse(keras.layers.Dense(4, use_bias=False), 0.5)
    layer.build((None, 4))
    (record,) = layer.masked_kernels
    mask = np.zeros((4, 4), bool)
    mask[:2] = True
    record.set(mask)
    inner = keras.optimizers.SGD(0.0, gradient_accumulation_steps=2)
    optimizer = kt.optimizers.RigL(inner, update_every=2, end=9, drop_fraction=0.25, mean_over=2)
    optimizer.build([record.kernel])
    early, late = np.zeros((2, 4, 4), np.float32)
    early[3, 0], early[3, 1], late[3, 0], late[3, 1], late[2, 0] = 4, -4, 1, -1, 3
    for gradient in [early, late] * 3:
        optimizer.apply(
            [tf.constant(np.where(record.mask.numpy(), gradient, 0))],
            [record.kernel],
            dense_gradients={record.name: tf.constant(gradient)},
        )
    grown = np.argwhere(record.mask.numpy() & ~mask).tolist()
    assert grown == [[3, 0], [3, 1]]


@pytest.mark.slow
def test_save_and_resume_in_the_middle(tmp_path):
    def batches(start, stop):
        return dataset(stop).skip(start)

    whole = sparse_network()
    whole.compile(rigl(end=35), LOSS)
    whole.fit(batches(0, 40), verbose=0)

    part = sparse_network()
    part.compile(rigl(end=35), LOSS)
    part.fit(batches(0, 18), verbose=0)
    part.save(tmp_path / "part.keras")
    loaded = keras.models.load_model(tmp_path / "part.keras")
    assert isinstance(loaded.optimizer, kt.optimizers.RigL)
    loaded.fit(batches(18, 40), verbose=0)
    for path, mask in whole.masks.items():
        np.testing.assert_array_equal(loaded.masks[path], mask)
    for a, b in zip(whole.trainable_weights, loaded.trainable_weights, strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(whole.optimizer.variables, loaded.optimizer.variables, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_checkpoint_of_tensorflow(tmp_path):
    models = [sparse_network(), sparse_network()]
    for model in models:
        model.compile(rigl(end=100), LOSS)
        model.optimizer.build(model.trainable_variables)
    models[0].fit(dataset(12), verbose=0)
    path = tf.train.Checkpoint(model=models[0]).save(str(tmp_path / "ckpt"))
    tf.train.Checkpoint(model=models[1]).restore(path)
    for path, mask in models[0].masks.items():
        np.testing.assert_array_equal(models[1].masks[path], mask)


def test_frozen_kernels_and_their_masks_do_not_move():
    model = sparse_network()
    model.compile(rigl(end=1000), LOSS)
    model.fit(dataset(10), verbose=0)
    model.get_layer("fc1").trainable = False
    model.compile(model.optimizer, LOSS)
    before = {**model.masks, "kernel": model.get_layer("fc1").layer.kernel.numpy()}
    model.fit(dataset(30), verbose=0)
    np.testing.assert_array_equal(model.masks["fc1/kernel"], before["fc1/kernel"])
    np.testing.assert_array_equal(model.get_layer("fc1").layer.kernel.numpy(), before["kernel"])
    assert np.any(model.masks["head/kernel"] != before["head/kernel"])


def test_evaluate_inside_fit_sees_all_of_its_data():
    model, results = sparse_network(), []

    class Evaluate(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            results.append(self.model.evaluate(X, Y, batch_size=8, verbose=0))
            results.append(LOSS(Y, self.model(X)).numpy())

    model.compile(rigl(), LOSS, steps_per_execution=8)
    model.fit(
        X,
        Y,
        verbose=0,
        callbacks=[Evaluate()],
        validation_data=(X[:8], Y[:8]),
        validation_batch_size=4,
    )
    assert results[0] == pytest.approx(results[1], rel=1e-5)


@pytest.mark.slow
def test_a_longer_second_fit_is_warned_that_masks_stay():
    model = sparse_network()
    model.compile(rigl(), LOSS)
    model.fit(dataset(10), verbose=0)
    with pytest.warns(UserWarning, match="step 0 to 7"):
        model.fit(dataset(10), epochs=5, verbose=0)


@pytest.mark.parametrize(
    "name, value", [("gradient_accumulation_steps", 2), ("ema_overwrite_frequency", 3)]
)
def test_what_keras_cannot_do_with_several_replicas_is_refused(monkeypatch, name, value):
    monkeypatch.setattr(kt.SparseModel, "_replicas", 2)
    with pytest.raises(ValueError, match=f"{name}={value} with 2 replicas"):
        sparse_network().compile(keras.optimizers.SGD(use_ema=True, **{name: value}), LOSS)


def lowered(optimizer_class, **kwargs):
    model = sparse_network()
    model.compile(optimizer_class(keras.optimizers.Adam(0.01), **kwargs), LOSS, jit_compile=True)
    model.fit(dataset(2), verbose=0)
    batch = (tf.constant(X[:32]), tf.constant(Y[:32]))

    @tf.function(jit_compile=True)
    def step(data):
        model.train_step(data)

    return step.experimental_get_compiler_ir(batch)(stage="optimized_hlo")


@pytest.mark.parametrize(
    "method", slow_unless(lambda method: method == "RigL", ["Static", "SET", "RigL"])
)
def test_the_whole_step_is_one_xla_program_without_host_calls_or_dynamic_shapes(method):
    """What `TPUStrategy` needs."""
    kwargs = {} if method == "Static" else {"update_every": 3, "end": 100}
    text = lowered(getattr(kt.optimizers, method), **kwargs)
    assert "ENTRY" in text
    for call in (
        "infeed",
        "outfeed",
        "send(",
        "recv(",
        "host_callback",
        "xla_python",
        "HostCompute",
    ):
        assert call not in text
    assert "<=" not in "".join(part for part in text.split() if part.startswith("f32["))
    assert "dynamic-reshape" not in text
    assert "set-dimension-size" not in text
