"""Metrics that Keras lacks."""

import math
from typing import Any

import keras
import tensorflow as tf

__all__ = ["BitsPerCharacter", "LogitAccuracy"]


@keras.saving.register_keras_serializable("keras_tickets")
class BitsPerCharacter(keras.metrics.MeanMetricWrapper):
    """Mean crossentropy of the next character, in bits: what it takes to send one.

    Of any tokens, it is the bits per token. Targets are integers, outputs logits.

    Args:
        name: Name of the metric.
        dtype: Dtype of its result.

    Example:

    ```python
    import numpy as np
    import keras_tickets as kt

    metric = kt.metrics.BitsPerCharacter()
    metric.update_state(np.array([[3, 1, 4]]), np.zeros((1, 3, 256)))
    assert abs(float(metric.result()) - 8) < 1e-5  # 256 characters, all as likely
    ```
    """

    def __init__(self, name: str = "bits_per_character", dtype: Any = None):
        super().__init__(_bits, name, dtype)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype}


@keras.saving.register_keras_serializable("keras_tickets")
class LogitAccuracy(keras.metrics.MeanMetricWrapper):
    """Share of yes-or-no targets whose logit has the right sign.

    `keras.metrics.BinaryAccuracy` takes probabilities: it allows no threshold at 0.

    Args:
        name: Name of the metric.
        dtype: Dtype of its result.

    Example:

    ```python
    import keras_tickets as kt

    metric = kt.metrics.LogitAccuracy()
    metric.update_state([1, 0, 1, 0], [[2.0], [-0.1], [-3.0], [-1.0]])
    assert float(metric.result()) == 0.75
    ```
    """

    def __init__(self, name: str = "accuracy", dtype: Any = None):
        super().__init__(_has_right_sign, name, dtype)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype}


def _bits(targets, logits):
    logits = tf.cast(logits, tf.float32)
    targets = tf.reshape(tf.cast(targets, tf.int32), tf.shape(logits)[:-1])
    return tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits) / math.log(2)


def _has_right_sign(targets, logits):
    logits = tf.convert_to_tensor(logits)
    targets = tf.reshape(tf.cast(targets, tf.float32), tf.shape(logits))
    return tf.cast((targets > 0.5) == (logits > 0), tf.float32)
