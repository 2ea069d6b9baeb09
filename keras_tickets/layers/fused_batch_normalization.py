"""Batch normalization whose training step is one fused kernel."""

import keras
import tensorflow as tf

# cuDNN refuses smaller values; 1e-5 itself rounds to less than its minimum in float32.
SMALLEST_EPSILON = 1.001e-5


@keras.saving.register_keras_serializable("keras_tickets")
class FusedBatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` that trains with TensorFlow's fused kernel.

    Keras builds the training step of batch normalization from about ten elementary operations, each
    of which reads all activations once. This layer computes the same outputs, gradients and moving
    averages with `FusedBatchNormV3`, which takes a fraction of the time. It is a drop-in
    replacement: arguments, weights, names and saved configuration are those of the parent class,
    and weights move freely between the two.

    The fused kernel returns the unbiased variance, which is N / (N - 1) times what Keras averages
    over the N values of a channel. The moving variance is corrected for that.

    The parent's own computation is used, with the same result, at inference and wherever the fused
    kernel does not apply: inputs that are not of rank 4 with channels last, a mask,
    `synchronized=True`, `renorm=True`, float64, or an `epsilon` below 1.001e-5.

    Args:
        **kwargs: As in `keras.layers.BatchNormalization`.

    Call arguments:
        inputs: Tensor of shape (batch, height, width, channels); other shapes are passed on to the
            parent.
        training: Whether to normalize with the statistics of the batch and to update the averages.
        mask: Boolean tensor, handled by the parent.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    layer = kt.layers.FusedBatchNormalization(momentum=0.9)
    assert layer(keras.random.normal((8, 4, 4, 3)), training=True).shape == (8, 4, 4, 3)
    ```

    References:
        Ioffe and Szegedy, "Batch Normalization", 2015, algorithms 1 and 2.
    """

    def call(self, inputs, training=None, mask=None):
        if not (training and self.trainable and self._fusable(inputs, mask)):
            return super().call(inputs, training=training, mask=mask)
        ones = tf.ones(inputs.shape[-1], tf.float32)
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=tf.cast(self.gamma, tf.float32) if self.scale else ones,
            offset=tf.cast(self.beta, tf.float32) if self.center else tf.zeros_like(ones),
            mean=[],
            variance=[],
            epsilon=self.epsilon,
            exponential_avg_factor=1.0,
            is_training=True,
        )
        values = tf.cast(tf.size(inputs) // inputs.shape[-1], tf.float32)
        self._average(self.moving_mean, mean)
        self._average(self.moving_variance, variance * (tf.maximum(values - 1.0, 1.0) / values))
        return tf.cast(outputs, self.compute_dtype)

    def _fusable(self, inputs, mask) -> bool:
        return (
            mask is None
            and not self.synchronized
            and not getattr(self, "renorm", False)
            and len(inputs.shape) == 4
            and self.axis in (-1, 3)
            and self.epsilon >= SMALLEST_EPSILON
            and keras.backend.standardize_dtype(inputs.dtype) in ("float16", "bfloat16", "float32")
        )

    def _average(self, average, value):
        old = tf.cast(average, tf.float32)
        average.assign(tf.cast(old * self.momentum + value * (1.0 - self.momentum), average.dtype))
