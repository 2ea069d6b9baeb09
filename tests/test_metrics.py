"""Metrics against NumPy."""

import keras
import numpy as np

import keras_tickets as kt


def test_bits_per_character_are_the_crossentropy_in_base_two():
    rng = np.random.default_rng(0)
    logits, targets = rng.normal(size=(4, 7, 30)) * 3, rng.integers(0, 30, (4, 7))
    shares = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    each = -np.log2(np.take_along_axis(shares, targets[..., None], -1))
    metric = kt.metrics.BitsPerCharacter()
    for half in (slice(0, 2), slice(2, 4)):
        metric.update_state(targets[half], logits[half].astype("float32"))
    np.testing.assert_allclose(metric.result(), each.mean(), rtol=1e-5)
    again = keras.metrics.deserialize(keras.metrics.serialize(metric))
    assert again.name == "bits_per_character"
