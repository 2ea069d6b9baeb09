"""The masks of tensorflow-model-optimization, given the same raw weights at each update step."""

import subprocess
import sys

import pytest

SCRIPT = """
import sys
import keras
import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
from tensorflow_model_optimization.python.core.sparsity.keras import pruning_impl

import keras_tickets as kt

S = tfmot.sparsity.keras
CASES = [
    S.PolynomialDecay(0.1, 0.9, 3, 20, power=3, frequency=4),
    S.PolynomialDecay(0.0, 0.77, 0, 17, power=1, frequency=3),
    S.PolynomialDecay(0.3, 0.95, 2, 30, power=2.5, frequency=1),
    S.ConstantSparsity(0.6, 4, -1, 5),
    S.ConstantSparsity(0.85, 0, 9, 2),
]
rng = np.random.default_rng(0)
for schedule in CASES:
    for regrow in (True, False):
        dense = keras.layers.Dense(13, use_bias=False, name="fc")
        layer = kt.layers.Sparse(dense, 0.5, mask="ones")
        layer.build((None, 11))
        (record,) = layer.masked_kernels
        sgd = keras.optimizers.SGD(0.0)
        optimizer = kt.optimizers.GradualMagnitude(sgd, schedule, regrow=regrow)
        config = keras.saving.serialize_keras_object(optimizer)
        again = keras.saving.deserialize_keras_object(config)
        assert keras.saving.serialize_keras_object(again) == config
        optimizer.build([record.kernel])
        weight, mask = tf.Variable(tf.zeros((11, 13))), tf.Variable(tf.ones((11, 13)))
        step_variable = tf.Variable(0, dtype=tf.int64)
        theirs = pruning_impl.Pruning(
            lambda: step_variable, [(weight, mask, tf.Variable(0.0))], schedule, (1, 1), "AVG"
        )
        changes = 0
        raw = rng.normal(size=(11, 13)).astype("float32")
        for step in range(35):
            if regrow:
                raw = rng.normal(size=(11, 13)).astype("float32")
            before = mask.numpy()
            weight.assign(raw)
            step_variable.assign(step)
            theirs.conditional_mask_update()
            # The gradient step of size 0 keeps what is on the mask: set the raw weights after it.
            optimizer._step_inner = lambda *args: record.kernel.assign(raw)
            optimizer.apply([tf.zeros((11, 13))], [record.kernel],
                            dense_gradients={record.name: tf.zeros((11, 13))})
            optimizer.inner_optimizer.iterations.assign(step + 1)
            np.testing.assert_array_equal(record.mask.numpy(), mask.numpy() > 0.5)
            changes += int((before != mask.numpy()).any())
        assert changes >= 1, schedule
empty = S.PolynomialDecay(0.0, 0.8, 5, 5, frequency=1)
assert np.isnan(float(empty(tf.constant(5))[1]))
ramp = kt.schedules.TfmotRamp.of(empty)
five = tf.constant(5, tf.int64)
assert abs(float(ramp.sparsity(five, five, five, 0.5)) - 0.8) < 1e-6
falling = S.PolynomialDecay(0.8, 0.5, 0, 9)
for arguments, message in (
    ({"schedule": CASES[0], "update_every": 3}, "update_every=3"),
    ({"schedule": falling}, "must not go down"),
):
    try:
        kt.optimizers.GradualMagnitude("sgd", **arguments)
    except ValueError as error:
        assert message in str(error), error
    else:
        raise AssertionError(message)
print("equal")
"""


@pytest.mark.slow
def test_masks_are_those_of_tfmot():
    pytest.importorskip("tf_keras", reason="tensorflow-model-optimization needs tf_keras")
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert "equal" in result.stdout
