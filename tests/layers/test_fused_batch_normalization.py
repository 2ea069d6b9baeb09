import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_tickets.layers.fused_batch_normalization import FusedBatchNormalization

SHAPE = (6, 5, 4, 3)


def pair(shape=SHAPE, **kwargs):
    fused, plain = FusedBatchNormalization(**kwargs), keras.layers.BatchNormalization(**kwargs)
    fused.build(shape)
    plain.build(shape)
    rng = np.random.default_rng(1)
    weights = [rng.uniform(0.5, 1.5, w.shape) for w in plain.weights]
    fused.set_weights(weights)
    plain.set_weights(weights)
    return fused, plain


def inputs(step=0, shape=SHAPE):
    return np.random.default_rng(step).normal(2.0, 3.0, shape).astype("float32")


def used_fused_kernel(layer, x, **kwargs):
    graph = tf.function(lambda x: layer(x, training=True, **kwargs)).get_concrete_function(
        tf.TensorSpec(x.shape, x.dtype)
    )
    return any(op.type == "FusedBatchNormV3" for op in graph.graph.get_operations())


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("options", [{}, {"scale": False}, {"center": False}])
def test_fifty_training_steps_equal_keras(options, jit_compile):
    fused, plain = pair(momentum=0.9, **options)

    def step(layer):
        return tf.function(lambda x: layer(x, training=True), jit_compile=jit_compile)

    fused_step, plain_step = step(fused), step(plain)
    for i in range(50):
        x = tf.constant(inputs(i))
        np.testing.assert_allclose(fused_step(x), plain_step(x), atol=2e-5)
    for a, b in zip(fused.weights, plain.weights, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-6)
    x = inputs(99)
    np.testing.assert_allclose(fused(x, training=False), plain(x, training=False), atol=2e-5)


def test_moving_variance_is_the_biased_one():
    layer = FusedBatchNormalization(momentum=0.0)
    x = inputs(shape=(2, 1, 1, 3))
    layer(x, training=True)
    np.testing.assert_allclose(layer.moving_variance.numpy(), x.var(axis=(0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(layer.moving_mean.numpy(), x.mean(axis=(0, 1, 2)), rtol=1e-5)


def test_gradients_equal_keras():
    fused, plain = pair()
    x = tf.constant(inputs())
    weights = tf.constant(inputs(7))

    def gradients(layer):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(layer(x, training=True) * weights)
        return tape.gradient(loss, [x, layer.gamma.value, layer.beta.value])

    for a, b in zip(gradients(fused), gradients(plain), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16"])
def test_low_precision(policy):
    fused, plain = pair(dtype=policy, momentum=0.5)
    for i in range(5):
        a, b = fused(inputs(i), training=True), plain(inputs(i), training=True)
        assert a.dtype == b.dtype == fused.compute_dtype
        np.testing.assert_allclose(
            tf.cast(a, tf.float32), tf.cast(b, tf.float32), atol=0.05 if "bf" in policy else 0.01
        )
    np.testing.assert_allclose(
        fused.moving_variance.numpy(), plain.moving_variance.numpy(), rtol=5e-3
    )


def test_saved_and_loaded(tmp_path):
    model = keras.Sequential([keras.Input(SHAPE[1:]), FusedBatchNormalization(momentum=0.8)])
    model(inputs(), training=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.layers[0]) is FusedBatchNormalization
    assert loaded.layers[0].momentum == 0.8
    np.testing.assert_array_equal(loaded.predict(inputs(1)), model.predict(inputs(1)))
    plain = keras.layers.BatchNormalization.from_config(model.layers[0].get_config())
    plain.build(SHAPE)
    plain.set_weights(model.layers[0].get_weights())
    np.testing.assert_allclose(plain(inputs(1)), model(inputs(1)), atol=1e-6)


def test_frozen_layer_uses_and_keeps_its_averages():
    fused, plain = pair()
    fused.trainable = plain.trainable = False
    before = fused.get_weights()
    np.testing.assert_allclose(fused(inputs(), training=True), plain(inputs(), training=True))
    assert all(np.array_equal(a, b) for a, b in zip(before, fused.get_weights(), strict=True))


@pytest.mark.parametrize(
    "shape, options, call",
    [
        ((8, 3), {}, {}),
        ((4, 5, 3), {}, {}),
        (SHAPE, {"axis": 1}, {}),
        (SHAPE, {"epsilon": 1e-6}, {}),
        pytest.param(
            SHAPE,
            {"renorm": True, "renorm_clipping": {"rmax": 3.0, "rmin": 0.3, "dmax": 5.0}},
            {},
            marks=pytest.mark.skipif(
                "renorm" not in inspect.signature(keras.layers.BatchNormalization).parameters,
                reason="this version of Keras has no batch renormalization",
            ),
        ),
        (SHAPE, {"dtype": "float64"}, {}),
        (SHAPE, {}, {"mask": np.arange(6 * 5 * 4).reshape(6, 5, 4) % 3 > 0}),
    ],
)
def test_falls_back_to_keras(shape, options, call):
    fused, plain = pair(shape, **options)
    x = inputs(shape=shape)
    np.testing.assert_array_equal(fused(x, training=True, **call), plain(x, training=True, **call))
    assert not used_fused_kernel(fused, x, **call)


def test_the_fused_kernel_is_used():
    assert used_fused_kernel(pair()[0], inputs())
    assert used_fused_kernel(pair(axis=3)[0], inputs())
    assert not used_fused_kernel(pair()[1], inputs())
