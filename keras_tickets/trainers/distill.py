"""Training a student on a teacher's soft labels."""

import functools
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_tickets import _keras_compat
from keras_tickets._checks import check_logit_shapes, check_number
from keras_tickets._resolved_steps import ResolvedSteps
from keras_tickets._tables import count_text
from keras_tickets._training_step.training import SparseTraining
from keras_tickets._warnings import warn
from keras_tickets.losses import SoftLabels
from keras_tickets.step import Step
from keras_tickets.trainers.feature_losses import FeatureLosses
from keras_tickets.trainers.teacher_logits import LABELS, TEACHER_LOGITS
from keras_tickets.trainers.teachers import (
    FINAL,
    Features,
    Teachers,
    by_name,
    ends_in_softmax,
    load_teachers,
    looks_like_probabilities,
    probe_batch,
)


@keras.saving.register_keras_serializable("keras_tickets")
class DistillationTrainer(SparseTraining, keras.Model):
    """Trains a student on the soft labels of a teacher.

    The loss of a step is

        (1 - alpha) * loss(labels, student) + alpha * SoftLabels(teacher, student)

    plus the student's regularization losses; `loss` is the one given to `compile`. `compile` and
    `fit` are those of `kt.SparseModel`: any sparse optimizer, any strategy, any number of steps per
    call. `predict`, `evaluate` and metrics are the student's. The trained model is
    `trainer.student`.

    A teacher runs in inference mode on the same batch as the student. It is never changed, and its
    variables are not among the trainer's; `trainer.save` keeps it in the file.

    Args:
        student: Built Keras model, sparse or dense, with one output: logits of shape
            (batch, …, classes). It is trained in place.
        teacher: A Keras model, dense or sparse, of the same inputs and output shape; the path of a
            `.keras` file or of a SavedModel directory; or a list of these, whose logits are
            averaged. `None`: the data contains the teacher's logits, as
            `(x, {"labels": y, "teacher_logits": logits})`; see `kt.trainers.cache_logits`.
        temperature: As in `kt.losses.SoftLabels`.
        alpha: Share of soft labels in [0, 1]. With 1 and no `end`, labels and a loss in `compile`
            are not needed.
        reduction: As in `kt.losses.SoftLabels`.
        end: Step (anything `kt.Step` takes) after which the student trains on hard labels alone, at
            full weight; `None` for never. Resolved by the first `fit`.
        teacher_outputs: What the teacher outputs: `"logits"` or `"probabilities"`.
        distillation_losses: Further `keras.distillation` losses, such as `FeatureDistillation`
            between layers of teacher and student. The student is not run a second time for them.
        distillation_loss_weights: Their weights, where soft labels have weight 1; all 1 by default.
        name: Name of the trainer.

    Raises:
        TypeError: `student` or `teacher` is of another kind.
        ValueError: An argument is out of range; class counts or output shapes of teacher and
            student differ; a model outputs probabilities instead of logits; teacher and student
            share weights; a file is missing.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    digits = kt.data.load("digits")
    teacher = kt.models.lenet_300_100(digits.input_shape, seed=1)  # train it first
    student = kt.sparsify(kt.models.lenet_300_100(digits.input_shape), 0.95)
    trainer = kt.trainers.DistillationTrainer(student, teacher, temperature=4.0, alpha=0.9)
    trainer.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    trainer.fit(digits.train(), steps_per_epoch=digits.steps_per_epoch, epochs=1)
    ```

    References:
        - [Ma et al., 2021, "Good students play big lottery better"](
          https://arxiv.org/abs/2101.03255v2)
    """

    hides_child_in_paths = True  # The paths of kernels are those in the student.

    def __init__(
        self,
        student: keras.Model,
        teacher: Any = None,
        *,
        temperature: float = 4.0,
        alpha: float = 0.9,
        reduction: str = "batchmean",
        end: int | float | str | Step | None = None,
        teacher_outputs: str = "logits",
        distillation_losses: Sequence[keras.distillation.DistillationLoss] = (),
        distillation_loss_weights: Sequence[float] | None = None,
        name: str | None = None,
    ):
        _check_student(student)
        check_number("alpha", alpha, "[0, 1]")
        super().__init__(name=name, dtype=student.dtype_policy, autocast=False)
        self.student = student
        self.alpha = alpha
        self.soft_labels = SoftLabels(temperature, reduction)
        self.teacher_outputs = teacher_outputs
        self._set_teachers([] if teacher is None else load_teachers(teacher))
        self._set_losses(distillation_losses, distillation_loss_weights)
        self._check_outputs()
        self.end = None if end is None else Step(end)
        self._end = None
        if self.end is not None:
            self._end = ResolvedSteps(
                {"end": self.end},
                functools.partial(self.add_weight, trainable=False),
                "end_of_distillation",
                check=functools.partial(_check_end, end),
            )
        self.built = True

    @_keras_compat.without_tracking
    def _set_teachers(self, teachers):
        """Keeps the teachers, but not as layers, so that their variables are not the trainer's."""
        own = {id(weight) for weight in self.student.weights}
        if any(id(weight) in own for teacher in teachers for weight in teacher.weights):
            raise ValueError(
                "`teacher` and `student` share weights, and the teacher would change. Pass a copy "
                "as the teacher: `keras.models.clone_model`, with its weights set, or a file."
            )
        self.teachers = teachers

    @_keras_compat.without_tracking
    def _set_losses(self, losses, weights):
        self._feature_losses = FeatureLosses(losses, weights, self.teachers, self.student)
        self._teach = Teachers(
            self.teachers, self.teacher_outputs, self._feature_losses.teacher_layers
        )
        self._student_features = Features(self.student, self._feature_losses.student_layers)

    def _check_outputs(self):
        """Tries both models on a batch, if the sizes of the student's inputs are known."""
        batch = probe_batch(self.student)
        gives_probabilities = ends_in_softmax(self.student)
        if batch is not None:
            outputs = Features(self.student, [])(batch, training=False)[FINAL]
            gives_probabilities |= looks_like_probabilities(outputs)
            for model in self.teachers:
                taught = Features(model, [])(batch, training=False)[FINAL]
                self._check_shapes(taught, outputs)
        if gives_probabilities:
            raise ValueError(
                f"The student {self.student.name!r} gives probabilities, and soft labels need "
                "logits. Build it without its softmax, and compile with `from_logits=True`."
            )
        self._teach.check_kind(batch)

    def _check_shapes(self, taught, outputs):
        check_logit_shapes((None, *taught.shape[1:]), (None, *outputs.shape[1:]))

    # --- When it ends ---------------------------------------------------------------------------

    def set_total_steps(self, total_steps: int, steps_per_epoch: int | None = None) -> None:
        super().set_total_steps(total_steps, steps_per_epoch)
        if self._end is None:
            return
        if kept := self._end.set_length(total_steps, steps_per_epoch):
            warn(
                f"Distillation ends at step {kept[0]}, as found by the first `fit`; a "
                f"training of {count_text(total_steps, 'step')} does not alter that."
            )

    # --- One step -------------------------------------------------------------------------------

    def compile(
        self, optimizer: Any = "rmsprop", loss: Any = None, *args: Any, **kwargs: Any
    ) -> None:
        """As `kt.SparseModel.compile`; `loss` is that of the hard labels.

        Raises:
            ValueError: There is no `loss`, but hard labels are used.
        """
        if loss is None and self._uses_hard_labels:
            raise ValueError(
                "`loss` must be given: hard labels have a share in training. Received: loss=None "
                f"with alpha={self.alpha}, end={self.end}; alpha=1 without `end` needs none."
            )
        super().compile(optimizer, loss, *args, **kwargs)

    @property
    def _uses_hard_labels(self) -> bool:
        return self.alpha < 1 or self.end is not None

    def call(self, inputs: Any, training: bool | None = None) -> tf.Tensor:
        return self.student(inputs)

    def forward(self, x: Any) -> Any:
        if self._feature_losses.student_layers:
            return self._student_features(x, training=True)
        return super().forward(x)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> tf.Tensor:
        """Returns the loss of a batch; outside of training, the loss of hard labels alone, if any.

        Args:
            x: Inputs.
            y: Labels, or `{"labels": labels, "teacher_logits": logits}`.
            y_pred: The student's outputs.
            sample_weight: Weights of examples, for hard and soft labels.
            training: Whether this is a training step.

        Returns:
            Scalar.
        """
        labels, logits = _unpack(y)
        features = by_name(y_pred)
        if not training and self.loss is not None:
            return super().compute_loss(x, labels, features[FINAL], sample_weight)
        hard = 0.0
        if self._uses_hard_labels:
            hard = self.compiled_loss(labels, features[FINAL], sample_weight)

        def mixed():
            if self.alpha == 0:
                return hard
            soft = self._soft_loss(x, logits, features, sample_weight)
            soft = tf.cast(soft, keras.backend.floatx())
            soft = _keras_compat.scale_loss_for_distribution(soft)
            return (1.0 - self.alpha) * hard + self.alpha * soft

        if self._end is None:
            return mixed() + self.added_losses()
        (end,) = self._end.in_graph()
        distills = tf.convert_to_tensor(self.optimizer.iterations, tf.int64) < end
        return tf.cond(distills, mixed, lambda: hard) + self.added_losses()

    def _soft_loss(self, x, logits, features, sample_weight):
        """The mean over this replica's batch of soft labels and further distillation losses."""
        taught = self._taught(x, logits)
        self._check_shapes(taught[FINAL], features[FINAL])
        loss = self.soft_labels.compute_loss(taught[FINAL], features[FINAL], sample_weight)
        return loss + self._feature_losses(taught, features)

    def _taught(self, x, logits):
        if self.teachers and logits is None:
            return self._teach(x)
        if self.teachers:
            raise ValueError(
                f"The data brings {TEACHER_LOGITS!r}, and there is a teacher too: make the trainer "
                "with `teacher=None`, or give it data without."
            )
        if logits is None:
            raise ValueError(
                "With `teacher=None` the data must bring the teacher's logits: (x, "
                f'{{"{LABELS}": y, "{TEACHER_LOGITS}": logits}}), as '
                "`kt.trainers.cache_logits(…).attach(data)` makes it."
            )
        return {FINAL: tf.cast(logits, tf.float32)}

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        return super().compute_metrics(x, _unpack(y)[0], by_name(y_pred)[FINAL], sample_weight)

    # --- Saving ---------------------------------------------------------------------------------

    def get_config(self):
        return {
            "name": self.name,
            "student": _serialized(self.student),
            "teacher": [_serialized(teacher) for teacher in self.teachers] or None,
            "temperature": self.soft_labels.temperature,
            "alpha": self.alpha,
            "reduction": self.soft_labels.reduction,
            "end": None if self.end is None else self.end.value,
            "teacher_outputs": self.teacher_outputs,
            "distillation_losses": [
                keras.saving.serialize_keras_object(loss) for loss in self._feature_losses.losses
            ],
            "distillation_loss_weights": self._feature_losses.weights,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        objects = ("student", "teacher", "distillation_losses")
        made = {
            key: keras.saving.deserialize_keras_object(config[key], custom_objects)
            for key in objects
        }
        return cls(**{**config, **made})


def _check_end(given, end):
    if end == 0:
        raise ValueError(
            "`end` must be after step 0: nothing would be distilled. Received: "
            f"end={given!r}; for hard labels alone use alpha=0."
        )


def _check_student(student):
    if not isinstance(student, keras.Model):
        raise TypeError(f"`student` must be a Keras model. Received: {student!r}")
    if not student.built:
        raise ValueError(f"`student` {student.name!r} is not built: start it with keras.Input.")


def _serialized(model):
    """Serializes a model without its compile arguments."""
    config = keras.saving.serialize_keras_object(model)
    return {key: value for key, value in config.items() if key != "compile_config"}


def _unpack(y):
    """Labels and the teacher's logits; `None` for each that the data lacks."""
    if isinstance(y, dict) and TEACHER_LOGITS in y:
        return y.get(LABELS), y[TEACHER_LOGITS]
    return y, None
