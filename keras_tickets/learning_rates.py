"""Learning rate schedules that Keras does not have."""

import keras
from keras import ops

from keras_tickets._checks import check_integer

__all__ = ["Warmup"]


@keras.saving.register_keras_serializable("keras_tickets")
class Warmup(keras.optimizers.schedules.LearningRateSchedule):
    """Multiplies a learning rate by t / steps while the optimizer step t is below `steps`.

    The factor grows linearly from 0, so the first step changes no weights, only the statistics of
    the optimizer and of batch normalization. From step `steps` on, the rate is that of `schedule`,
    which counts its steps from the start of training, not from the end of the warm-up. Note that
    `keras.optimizers.schedules.CosineDecay` has a warm-up of its own.

    Args:
        schedule: A Keras learning rate schedule, its serialized form, or a constant rate.
        steps: Length of the warm-up in optimizer steps, a positive integer.

    Raises:
        TypeError: `schedule` is neither a schedule nor a number.
        ValueError: `steps` is not a positive integer.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    drops = keras.optimizers.schedules.PiecewiseConstantDecay([56_000, 84_000], [0.1, 0.01, 0.001])
    rate = kt.learning_rates.Warmup(drops, steps=10_000)
    assert abs(float(rate(2_500)) - 0.025) < 1e-6
    optimizer = keras.optimizers.SGD(rate, momentum=0.9)
    ```

    References:
        Frankle et al., "Stabilizing the Lottery Ticket Hypothesis" (arXiv 1903.01611v3), section 3,
        "warmup".
    """

    def __init__(
        self,
        schedule: keras.optimizers.schedules.LearningRateSchedule | dict | float,
        steps: int,
    ):
        if isinstance(schedule, dict):
            schedule = keras.saving.deserialize_keras_object(schedule)
        number = isinstance(schedule, int | float) and not isinstance(schedule, bool)
        if not number and not isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
            raise TypeError(
                "`schedule` must be a Keras learning rate schedule or a number. Received: "
                f"schedule={schedule!r}"
            )
        check_integer("steps", steps, low=1)
        self.schedule = schedule
        self.steps = steps

    def __call__(self, step):
        rate = self.schedule(step) if callable(self.schedule) else self.schedule
        share = ops.minimum(ops.cast(step, "float32") / self.steps, 1.0)
        return ops.cast(rate, "float32") * share

    def get_config(self) -> dict:
        schedule = self.schedule
        if callable(schedule):
            schedule = keras.saving.serialize_keras_object(schedule)
        return {"schedule": schedule, "steps": self.steps}
