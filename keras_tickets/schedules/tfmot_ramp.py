"""Pruning schedules of tensorflow-model-optimization.

Importing that library switches `tf.keras` to Keras 2. So nothing here imports it; its objects are
recognized by the module of their class.
"""

from typing import Any

import keras
import tensorflow as tf

from keras_tickets.schedules.ramps import Ramp

_MODULE = "tensorflow_model_optimization"
_NEVER = 2**62


def is_pruning_schedule(value: object) -> bool:
    """Whether a value is a `PruningSchedule` of tensorflow-model-optimization."""
    return any(
        cls.__module__.startswith(_MODULE) and cls.__name__ == "PruningSchedule"
        for cls in type(value).__mro__
    )


@keras.saving.register_keras_serializable("keras_tickets")
class TfmotRamp(Ramp):
    """A `PolynomialDecay` or `ConstantSparsity` of tensorflow-model-optimization.

    It repeats that library's calendar, float32 arithmetic and rounding: there is an update every
    `frequency` steps while `begin_step <= t <= end_step`, and `max(round(n * (1 - sparsity)), 1)`
    of a kernel's n weights stay. If `begin_step` equals `end_step`, the library's sparsity is NaN;
    here it is the final one.

    Args:
        initial_sparsity: Share of zeros at `begin_step`.
        final_sparsity: Share of zeros at `end_step`.
        begin_step: First step with an update.
        end_step: Last step that may have an update; -1 for no end.
        frequency: Steps between updates.
        power: Exponent of the polynomial.

    Example:

    >>> import keras_tickets as kt
    >>> ramp = kt.schedules.TfmotRamp(0.0, 0.8, 100, 200, frequency=10, power=3)
    >>> ramp.calendar
    {'update_every': 10, 'begin': 100, 'end': 200}

    References:
        - [The library's guide](https://www.tensorflow.org/model_optimization/guide/pruning)
    """

    reaches_end = False

    def __init__(
        self,
        initial_sparsity: float,
        final_sparsity: float,
        begin_step: int,
        end_step: int,
        frequency: int,
        power: float,
    ):
        super().__init__(initial_sparsity, final_sparsity)
        self.begin_step = int(begin_step)
        self.end_step = int(end_step)
        self.frequency = int(frequency)
        self.power = float(power)

    @classmethod
    def of(cls, schedule: Any) -> "TfmotRamp":
        """The ramp of a schedule object.

        Args:
            schedule: A `PolynomialDecay` or `ConstantSparsity` of tensorflow-model-optimization.

        Raises:
            TypeError: It is neither.
        """
        name = type(schedule).__name__
        if name not in ("PolynomialDecay", "ConstantSparsity"):
            raise TypeError(
                "`schedule` must be a PolynomialDecay or a ConstantSparsity of "
                f"tensorflow-model-optimization. Received: {name}"
            )
        constant = name == "ConstantSparsity"
        return cls(
            schedule.target_sparsity if constant else schedule.initial_sparsity,
            schedule.target_sparsity if constant else schedule.final_sparsity,
            schedule.begin_step,
            schedule.end_step,
            schedule.frequency,
            1.0 if constant else schedule.power,
        )

    @property
    def calendar(self):
        end = _NEVER if self.end_step < 0 else self.end_step
        return {"update_every": self.frequency, "begin": self.begin_step, "end": end}

    def sparsity(self, step, begin, end, target):
        length = tf.cast(tf.maximum(end - begin, 1), tf.float32)
        progress = tf.minimum(1.0, tf.maximum(0.0, tf.cast(step - begin, tf.float32) / length))
        progress = tf.where(step >= end, 1.0, progress)
        final: Any = self.final_sparsity  # never None here
        fall = tf.constant(self.initial_sparsity - final, tf.float32)
        return fall * tf.pow(1 - progress, self.power) + final

    def left(self, units, sparsity):
        kept = tf.round(tf.cast(units, tf.float32) * (1 - sparsity))
        return tf.cast(tf.maximum(kept, 1), tf.int32)

    def get_config(self):
        return {
            **super().get_config(),
            "begin_step": self.begin_step,
            "end_step": self.end_step,
            "frequency": self.frequency,
            "power": self.power,
        }
