"""Further distillation losses beside the soft labels, such as those between features."""

import copy
from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from keras_tickets import _keras_compat
from keras_tickets.trainers.teachers import FINAL


class FeatureLosses:
    """A weighted sum of `keras.distillation` losses between outputs of a teacher and a student.

    Args:
        losses: The losses. Those with a `teacher_layer_name` and a `student_layer_name` compare
            outputs of these layers, the others the models' own outputs.
        weights: Their weights; all 1 by default.
        teachers: The teachers; losses need exactly one.
        student: The student.

    Attributes:
        losses: The losses.
        weights: Their weights.
        teacher_layers: Names of the teacher's layers whose outputs are compared.
        student_layers: Names of the student's.

    Raises:
        ValueError: The numbers of weights and losses differ; there is more than one teacher, or
            none; or a model lacks a layer.
    """

    def __init__(
        self,
        losses: Sequence[keras.distillation.DistillationLoss],
        weights: Sequence[float] | None,
        teachers: Sequence[keras.layers.Layer],
        student: keras.Model,
    ):
        self.losses = list(losses)
        self.weights = [1.0] * len(self.losses) if weights is None else list(weights)
        if len(self.weights) != len(self.losses):
            raise ValueError(
                "`distillation_loss_weights` must have one weight for each of the "
                f"{len(self.losses)} `distillation_losses`. Received: {weights!r}"
            )
        if self.losses and len(teachers) != 1:
            raise ValueError(
                "`distillation_losses` need one teacher that runs with the student. Received: "
                f"{len(teachers)} teachers"
            )
        for loss in self.losses:
            loss.validate_model_compatibility(teachers[0], student)
        self.teacher_layers = self._layers("teacher_layer_name")
        self.student_layers = self._layers("student_layer_name")
        self._unscaled = [_unscaled(loss) for loss in self.losses]

    def __call__(
        self, taught: Mapping[str, tf.Tensor], learned: Mapping[str, tf.Tensor]
    ) -> tf.Tensor | float:
        """Returns the sum, as a mean over this replica's batch.

        Args:
            taught: Outputs of the teacher: its own as `FINAL`, those of layers by name.
            learned: Outputs of the student, in the same form.
        """
        total = 0.0
        for loss, weight in zip(self._unscaled, self.weights, strict=True):
            teacher = taught[getattr(loss, "teacher_layer_name", None) or FINAL]
            student = learned[getattr(loss, "student_layer_name", None) or FINAL]
            loss.validate_outputs(teacher, student)
            total += weight * tf.cast(loss.compute_loss(teacher, student), tf.float32)
        return total

    def _layers(self, attribute):
        names = (getattr(loss, attribute, None) for loss in self.losses)
        return sorted({name for name in names if name})


def _unscaled(loss):
    """A distillation loss that returns a mean over the replica's batch.

    Keras loss objects, which may be part of one, divide by the number of replicas themselves; loss
    functions do not.
    """

    def unscale(part):
        if not isinstance(part, keras.losses.Loss):
            return part
        return lambda *args: _keras_compat.unscale_loss_for_distribution(part(*args))

    if getattr(loss, "loss", None) is not None:
        loss = copy.copy(loss)
        loss.loss = keras.tree.map_structure(unscale, loss.loss)
    return loss
