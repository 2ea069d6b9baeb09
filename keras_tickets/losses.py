"""Losses of knowledge distillation."""

import math

import keras
import tensorflow as tf

REDUCTIONS = ("batchmean", "mean")


@keras.saving.register_keras_serializable("keras_tickets")
class SoftLabels(keras.distillation.DistillationLoss):
    """T² · KL(softmax(teacher / T) || softmax(student / T)), from logits.

    Computed in float32 whatever the dtype of the logits, by a form of the divergence that neither
    clips nor cancels: it is exact to float32 where teacher and student nearly agree, and where
    logits are hundreds apart. The teacher gets no gradient.

    `keras.distillation.LogitsDistillation` of Keras 3.15 is another loss: by default it takes the
    divergence of the logits themselves, without softmax and T².

    Args:
        temperature: T, positive. Higher values soften both distributions.
        reduction: `"batchmean"`, the mean over examples (and positions, where there are any) of the
            sum over classes; or `"mean"`, over classes too, which divides it by their number.

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
        if (
            isinstance(temperature, bool)
            or not isinstance(temperature, int | float)
            or not 0 < temperature < math.inf
        ):
            raise ValueError(
                "`temperature` must be a positive finite number. Received: "
                f"temperature={temperature!r}"
            )
        if reduction not in REDUCTIONS:
            raise ValueError(
                f"`reduction` must be one of {REDUCTIONS}. Received: reduction={reduction!r}"
            )
        self.temperature = temperature
        self.reduction = reduction

    def validate_outputs(self, teacher_outputs, student_outputs):
        """Raises a `ValueError` unless both are logits of the same shape, of two or more classes.

        Args:
            teacher_outputs: Tensor of shape (batch, …, classes).
            student_outputs: Tensor likewise.
        """
        for name, outputs in (("teacher", teacher_outputs), ("student", student_outputs)):
            if keras.tree.is_nested(outputs):
                raise ValueError(
                    f"Soft labels are for models of one output. Received: outputs of the {name} "
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
            ValueError: The shapes differ, or there is only one class.
        """
        teacher = tf.cast(tf.convert_to_tensor(teacher_outputs), tf.float32)
        student = tf.cast(tf.convert_to_tensor(student_outputs), tf.float32)
        self.validate_outputs(teacher, student)
        each = _divergence(teacher, student, self.temperature)
        if sample_weight is not None:
            weight = tf.cast(sample_weight, tf.float32)
            while weight.ndim < each.ndim:
                weight = weight[..., None]
            each *= weight
        loss = self.temperature**2 * tf.reduce_mean(each)
        return loss / student.shape[-1] if self.reduction == "mean" else loss

    def get_config(self):
        return {"temperature": self.temperature, "reduction": self.reduction}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def check_logit_shapes(teacher, student) -> None:
    """Raises a `ValueError` unless two shapes can be those of the same logits.

    Args:
        teacher: Shape of the teacher's output; `None` for a size that is not known.
        student: Shape of the student's output.
    """
    teacher, student = tuple(teacher), tuple(student)
    known = zip(teacher, student, strict=False)
    if len(teacher) != len(student) or any(a != b for a, b in known if None not in (a, b)):
        raise ValueError(
            "Teacher and student must give logits of the same shape. Received: teacher "
            f"{teacher}, of {teacher[-1:]} classes; student {student}, of {student[-1:]} classes."
        )
    if len(student) < 2 or student[-1] == 1:
        raise ValueError(
            "Soft labels need logits of shape (batch, …, classes) with two classes or more. "
            f"Received: shape {student}"
        )


@tf.custom_gradient
def _divergence(teacher, student, temperature):
    """KL(softmax(teacher / T) || softmax(student / T)) over the last axis.

    With d = (student - teacher) / T, less its mean under the teacher, the divergence is
    log E[exp(d)] = log(1 + E[exp(d) - 1 - d]): a mean of terms none of which is negative.
    """
    log_p = _log_softmax(teacher, temperature)
    p = tf.exp(log_p)
    d = (student - teacher) / temperature
    d -= tf.reduce_sum(p * d, -1, keepdims=True)
    terms = tf.exp(tf.minimum(log_p + d, 50.0)) - p - p * d
    excess = tf.reduce_sum(tf.where(tf.abs(d) < 1.0, p * _exp_beyond_linear(d), terms), -1)
    near, far = tf.math.log1p(tf.maximum(excess, 0.0)), tf.reduce_logsumexp(log_p + d, -1)

    def gradient(upstream):
        q = tf.exp(_log_softmax(student, temperature))
        return None, upstream[..., None] * (q - p) / temperature, None

    return tf.where(excess < 100.0, near, far), gradient


def _log_softmax(logits, temperature):
    """Of logits / T; differences are taken before dividing, which rounds them less."""
    return tf.nn.log_softmax((logits - tf.reduce_max(logits, -1, keepdims=True)) / temperature)


def _exp_beyond_linear(x):
    """exp(x) - 1 - x for |x| < 1, by its series."""
    total = tf.zeros_like(x)
    for power in range(10, 1, -1):
        total = total * x + 1.0 / math.factorial(power)
    return total * x * x
