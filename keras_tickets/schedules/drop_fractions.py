"""Drop fractions over the course of training."""

import math

import keras
import numpy as np
import tensorflow as tf

from keras_tickets._checks import check_number


class Schedule:
    """A drop fraction that depends on the progress of training.

    Progress is (t - begin) / (end - begin) at step t, clipped to [0, 1], with `begin` and `end` of
    the optimizer. Fractions are computed in float64, so that every compiler rounds them to the same
    float32 number.

    To write another schedule, derive from this class and define `fraction`.

    Args:
        initial: Drop fraction at progress 0, in [0, 1).

    Raises:
        TypeError: If `initial` is not a number.
        ValueError: If `initial` is outside [0, 1).

    Example:

    >>> import keras_tickets as kt
    >>> schedule = kt.schedules.Cosine(0.3)
    >>> [round(float(schedule(progress)), 3) for progress in (0.0, 0.5, 1.0)]
    [0.3, 0.15, 0.0]
    """

    def __init__(self, initial: float):
        self.initial = check_number("initial", initial, "[0, 1)")
        check_number("initial", float(np.float32(self.initial)), "[0, 1)")

    def __call__(self, progress: float | tf.Tensor) -> tf.Tensor:
        """The drop fraction at `progress`.

        Args:
            progress: A number or a float tensor, clipped to [0, 1].

        Returns:
            A float32 tensor of the shape of `progress`.
        """
        progress = tf.clip_by_value(tf.cast(progress, tf.float64), 0.0, 1.0)
        return tf.cast(self.fraction(progress), tf.float32)

    def fraction(self, progress: tf.Tensor) -> tf.Tensor:
        """The formula: float64 tensor in [0, 1] to float64 tensor of the same shape in [0, 1)."""
        raise TypeError(f"{type(self).__name__} must define `fraction`.")

    def get_config(self) -> dict:
        """The constructor arguments."""
        return {"initial": self.initial}

    @classmethod
    def from_config(cls, config: dict) -> "Schedule":
        """Creates a schedule from its constructor arguments."""
        return cls(**config)

    def __repr__(self):
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.get_config().items())
        return f"{type(self).__name__}({arguments})"


@keras.saving.register_keras_serializable("keras_tickets")
class Constant(Schedule):
    """The same fraction throughout.

    Args:
        initial: The drop fraction, in [0, 1).

    Example:

    >>> import keras_tickets as kt
    >>> schedule = kt.schedules.Constant(0.3)
    >>> [round(float(schedule(progress)), 3) for progress in (0.0, 0.5, 1.0)]
    [0.3, 0.3, 0.3]

    References:
        [Mocanu et al., 2018](https://arxiv.org/abs/1707.04780), the fraction zeta of SET.
    """

    def fraction(self, progress):
        return tf.fill(tf.shape(progress), tf.constant(self.initial, tf.float64))


@keras.saving.register_keras_serializable("keras_tickets")
class Cosine(Schedule):
    """Half a cosine: initial / 2 * (1 + cos(pi * progress)).

    Args:
        initial: Drop fraction at progress 0, in [0, 1).

    Example:

    >>> import keras_tickets as kt
    >>> schedule = kt.schedules.Cosine(0.3)
    >>> [round(float(schedule(progress)), 3) for progress in (0.0, 0.5, 1.0)]
    [0.3, 0.15, 0.0]

    References:
        [Evci et al., 2020](https://arxiv.org/abs/1911.11134), section 3 (2), update schedule.
    """

    def fraction(self, progress):
        return self.initial / 2 * (1 + tf.cos(math.pi * progress))


@keras.saving.register_keras_serializable("keras_tickets")
class Linear(Schedule):
    """A straight line to 0: initial * (1 - progress).

    Args:
        initial: Drop fraction at progress 0, in [0, 1).

    Example:

    >>> import keras_tickets as kt
    >>> schedule = kt.schedules.Linear(0.3)
    >>> [round(float(schedule(progress)), 3) for progress in (0.0, 0.5, 1.0)]
    [0.3, 0.15, 0.0]

    References:
        [Evci et al., 2020](https://arxiv.org/abs/1911.11134), the inverse power with k = 1.
    """

    def fraction(self, progress):
        return self.initial * (1 - progress)


@keras.saving.register_keras_serializable("keras_tickets")
class InversePower(Schedule):
    """A polynomial to 0: initial * (1 - progress) ** power.

    Args:
        initial: Drop fraction at progress 0, in [0, 1).
        power: Positive number, the exponent k.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If `initial` is outside [0, 1), or `power` is not positive and finite.

    Example:

    >>> import keras_tickets as kt
    >>> schedule = kt.schedules.InversePower(0.4, power=2)
    >>> [round(float(schedule(progress)), 3) for progress in (0.0, 0.5, 1.0)]
    [0.4, 0.1, 0.0]

    References:
        [Evci et al., 2020](https://arxiv.org/abs/1911.11134), "inverse power"; the authors' code
        calls it "exponential".
    """

    def __init__(self, initial: float, power: float = 3.0):
        super().__init__(initial)
        self.power = check_number("power", power, "(0, inf)")

    def fraction(self, progress):
        return self.initial * (1 - progress) ** self.power

    def get_config(self) -> dict:
        return {**super().get_config(), "power": self.power}


@keras.saving.register_keras_serializable("keras_tickets")
class Exponential(Schedule):
    """Exponential decay: initial * decay_rate ** progress.

    Args:
        initial: Drop fraction at progress 0, in [0, 1).
        decay_rate: What is left of `initial` at progress 1, as a share in (0, 1].

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If `initial` is outside [0, 1), or `decay_rate` outside (0, 1].

    Example:

    >>> import keras_tickets as kt
    >>> schedule = kt.schedules.Exponential(0.4, decay_rate=0.25)
    >>> [round(float(schedule(progress)), 3) for progress in (0.0, 0.5, 1.0)]
    [0.4, 0.2, 0.1]
    """

    def __init__(self, initial: float, decay_rate: float = 0.01):
        super().__init__(initial)
        self.decay_rate = check_number("decay_rate", decay_rate, "(0, 1]")

    def fraction(self, progress):
        return self.initial * tf.exp(math.log(self.decay_rate) * progress)

    def get_config(self) -> dict:
        return {**super().get_config(), "decay_rate": self.decay_rate}
