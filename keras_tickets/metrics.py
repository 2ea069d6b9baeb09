"""Metrics that Keras lacks."""

from typing import Any

import keras
import tensorflow as tf

__all__ = ["LogitAccuracy"]


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


def _has_right_sign(targets, logits):
    logits = tf.convert_to_tensor(logits)
    targets = tf.reshape(tf.cast(targets, tf.float32), tf.shape(logits))
    return tf.cast((targets > 0.5) == (logits > 0), tf.float32)
