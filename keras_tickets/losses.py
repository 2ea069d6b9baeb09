"""Losses that Keras lacks: for knowledge distillation, and with smoothed labels."""

from typing import Any

import keras
import tensorflow as tf

from keras_tickets._checks import check_logit_shapes, check_number, check_one_of

__all__ = ["SmoothedLabels", "SoftLabels"]

_REDUCTIONS = ("batchmean", "mean")


@keras.saving.register_keras_serializable("keras_tickets")
class SoftLabels(keras.distillation.DistillationLoss):
    """T² · KL(softmax(teacher / T) || softmax(student / T)), from logits.

    The value is exact to float32 for logits of any dtype, even if teacher and student nearly agree,
    or if logits are hundreds apart: probabilities are not clipped. The teacher gets no gradient.

    `keras.distillation.LogitsDistillation` of Keras 3.15 is a different loss: by default it is the
    divergence of the logits themselves, without softmax and T².

    Args:
        temperature: T, positive. Higher values soften both distributions.
        reduction: `"batchmean"` for the sum over classes, averaged over examples (and positions, if
            there are any); `"mean"` for the mean over classes too.

    Raises:
        ValueError: `temperature` is not a positive finite number, or `reduction` is unknown.

    Example:

    ```python
    import numpy as np
    import keras_tickets as kt

    loss = kt.losses.SoftLabels(temperature=4.0)
    teacher, student = np.array([[4.0, 0.0]]), np.array([[0.0, 4.0]])
    assert float(loss.compute_loss(teacher, teacher)) == 0.0
    assert float(loss.compute_loss(teacher, student)) > 1.0
    ```

    References:
        - [Hinton et al., 2015, "Distilling the knowledge in a neural network", section 2](
          https://arxiv.org/abs/1503.02531)
        - [Ma et al., 2021, "Good students play big lottery better"](
          https://arxiv.org/abs/2101.03255v2)
    """

    def __init__(self, temperature: float = 4.0, reduction: str = "batchmean"):
        self.temperature = check_number("temperature", temperature, "(0, inf)")
        self.reduction = check_one_of("reduction", reduction, _REDUCTIONS)

    def validate_outputs(self, teacher_outputs, student_outputs):
        """Checks that both are logits of the same shape, with two classes or more.

        Args:
            teacher_outputs: Tensor of shape (batch, …, classes).
            student_outputs: Tensor of the same shape.

        Raises:
            ValueError: They are not.
        """
        for name, outputs in (("teacher", teacher_outputs), ("student", student_outputs)):
            if keras.tree.is_nested(outputs):
                raise ValueError(
                    f"Soft labels are for models with one output. Received: outputs of the {name} "
                    f"in a {type(outputs).__name__}"
                )
        check_logit_shapes(teacher_outputs.shape, student_outputs.shape)

    def compute_loss(self, teacher_outputs, student_outputs, sample_weight=None, **kwargs):
        """The loss of a batch.

        Args:
            teacher_outputs: Logits of shape (batch, …, classes).
            student_outputs: Logits of the same shape.
            sample_weight: Weight of each example, of shape (batch,) or (batch, …), or `None`.
            **kwargs: Ignored.

        Returns:
            float32 scalar.

        Raises:
            ValueError: The shapes differ, or there are fewer than two classes.
        """
        teacher = tf.stop_gradient(tf.convert_to_tensor(teacher_outputs))
        student = tf.convert_to_tensor(student_outputs)
        self.validate_outputs(teacher, student)
        each = _divergence(teacher, student, self.temperature)
        if sample_weight is not None:
            weight = tf.cast(sample_weight, each.dtype)
            while weight.ndim < each.ndim:
                weight = weight[..., None]
            each *= weight
        scale = self.temperature**2
        if self.reduction == "mean":
            scale /= student.shape[-1]
        return tf.cast(scale * tf.reduce_mean(each), tf.float32)

    def get_config(self) -> dict[str, Any]:
        return {"temperature": self.temperature, "reduction": self.reduction}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "SoftLabels":
        return cls(**config)


@keras.saving.register_keras_serializable("keras_tickets")
class SmoothedLabels(keras.losses.SparseCategoricalCrossentropy):
    """Crossentropy of classes, a share of whose labels is spread evenly over all classes.

    Targets are integers, outputs logits. With one-hot targets this is
    `keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=label_smoothing)`.

    Args:
        label_smoothing: The share, in [0, 1).
        reduction: As in `keras.losses.Loss`.
        name: Name of the loss.
        dtype: Dtype of its computation.

    Raises:
        ValueError: `label_smoothing` is out of range.

    Example:

    ```python
    import numpy as np
    import keras
    import keras_tickets as kt

    labels, logits = np.array([1, 0]), np.array([[0.5, 2.0, -1.0], [1.0, 0.0, 3.0]])
    smoothed = kt.losses.SmoothedLabels(0.1)(labels, logits)
    known = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)
    assert abs(float(smoothed) - float(known(np.eye(3)[labels], logits))) < 1e-5
    ```

    References:
        - [Szegedy et al., 2016, "Rethinking the Inception architecture for computer vision",
          section 7](https://arxiv.org/abs/1512.00567)
    """

    def __init__(
        self,
        label_smoothing: float = 0.1,
        reduction: str = "sum_over_batch_size",
        name: str = "smoothed_labels",
        dtype: Any = None,
    ):
        super().__init__(from_logits=True, reduction=reduction, name=name, dtype=dtype)
        self.label_smoothing = check_number("label_smoothing", label_smoothing, "[0, 1)")

    def call(self, y_true, y_pred):
        uniform = -tf.reduce_mean(tf.nn.log_softmax(y_pred), -1)
        share = self.label_smoothing
        return (1 - share) * super().call(y_true, y_pred) + share * uniform

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        names = ("name", "reduction", "dtype")
        return {
            **{key: value for key, value in config.items() if key in names},
            "label_smoothing": self.label_smoothing,
        }


def _divergence(teacher, student, temperature):
    """KL(softmax(teacher / T) || softmax(student / T)) over the last axis, as H(p, q) - H(p).

    In float64, because the difference would cancel in float32 if teacher and student nearly agree.
    """
    teacher, student = (tf.cast(logits, tf.float64) / temperature for logits in (teacher, student))
    p = tf.nn.softmax(teacher)
    cross_entropy = tf.nn.softmax_cross_entropy_with_logits
    return cross_entropy(p, student) - cross_entropy(p, teacher)
