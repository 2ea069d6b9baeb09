"""Sparsities over the course of gradual pruning."""

import math

import keras
import tensorflow as tf

from keras_tickets._checks import check_number, check_sparsity


class Ramp:
    """A sparsity that rises with the progress of gradual pruning.

    It is final + (initial - final) * remaining, where `remaining` falls from 1 at progress 0 to 0
    at progress 1, in float64. To write another ramp, derive from this class and define `remaining`.

    Args:
        initial_sparsity: Share of zeros at progress 0, in [0, 1).
        final_sparsity: Share of zeros at progress 1, in [0, 1), of every kernel; `None` for each
            kernel's own target, as `kt.sparsify` has set it.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If one is outside [0, 1), or the sparsity would fall.

    Example:

    >>> import keras_tickets as kt
    >>> class Late(kt.schedules.Ramp):
    ...     def remaining(self, progress):
    ...         return 1 - progress**2
    >>> round(float(Late(final_sparsity=0.8).sparsity(50, 0, 100, target=0.9)), 3)
    0.2
    """

    reaches_end = True

    def __init__(self, initial_sparsity: float = 0.0, final_sparsity: float | None = None):
        self.initial_sparsity = check_sparsity(initial_sparsity, "initial_sparsity")
        self.final_sparsity = final_sparsity
        if final_sparsity is not None:
            self.final_sparsity = check_sparsity(final_sparsity, "final_sparsity")
            self.check_rises(self.final_sparsity, "final_sparsity")

    @property
    def calendar(self) -> dict[str, int]:
        """Arguments of `kt.optimizers.PeriodicOptimizer` that the ramp itself settles: none."""
        return {}

    def check_rises(self, final: float, where: str) -> None:
        """Raises a `ValueError` where a final sparsity is below the initial one."""
        if final < self.initial_sparsity:
            raise ValueError(
                "The target of a ramp must not go down. Received: initial_sparsity="
                f"{self.initial_sparsity}, {where}={final}"
            )

    def sparsity(
        self,
        step: int | tf.Tensor,
        begin: int | tf.Tensor,
        end: int | tf.Tensor,
        target: float,
    ) -> tf.Tensor:
        """The sparsity of a kernel at a step; the final one from `end` on.

        Args:
            step: int64 scalar.
            begin: int64 scalar, the step at progress 0.
            end: int64 scalar, the step at progress 1.
            target: The kernel's own target.

        Returns:
            float64 scalar.
        """
        final = target if self.final_sparsity is None else self.final_sparsity
        length = tf.cast(tf.maximum(end - begin, 1), tf.float64)
        progress = tf.clip_by_value(tf.cast(step - begin, tf.float64) / length, 0.0, 1.0)
        risen = final + (self.initial_sparsity - final) * self.remaining(progress)
        return tf.where(step >= end, tf.constant(final, tf.float64), risen)

    def left(self, units: int, sparsity: tf.Tensor) -> tf.Tensor:
        """How many of a group's units a sparsity leaves, an int32 scalar; zeros rounded down."""
        return tf.cast(units - tf.cast(tf.floor(sparsity * units), tf.int64), tf.int32)

    def remaining(self, progress: tf.Tensor) -> tf.Tensor:
        """The formula: float64 tensor in [0, 1] to float64 tensor in [0, 1]."""
        raise TypeError(f"{type(self).__name__} must define `remaining`.")

    def get_config(self) -> dict:
        """The constructor arguments."""
        return {"initial_sparsity": self.initial_sparsity, "final_sparsity": self.final_sparsity}

    @classmethod
    def from_config(cls, config: dict) -> "Ramp":
        """Makes one from its constructor arguments."""
        return cls(**config)

    def __repr__(self):
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.get_config().items())
        return f"{type(self).__name__}({arguments})"


@keras.saving.register_keras_serializable("keras_tickets")
class PolynomialDecay(Ramp):
    """What remains to prune falls as (1 - progress) ** power: fast at first, then slower.

    Args:
        initial_sparsity: Share of zeros at progress 0, in [0, 1).
        final_sparsity: Share of zeros at progress 1; `None` for each kernel's own target.
        power: Positive number: 3 is the cubic ramp of the paper, 1 a straight line.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If one is out of range, or the sparsity would fall.

    Example:

    >>> import keras_tickets as kt
    >>> ramp = kt.schedules.PolynomialDecay()
    >>> [round(float(ramp.sparsity(step, 0, 100, target=0.8)), 3) for step in (0, 50, 100)]
    [0.0, 0.7, 0.8]

    References:
        [Zhu and Gupta, 2017, "To prune, or not to prune"](https://arxiv.org/abs/1710.01878)
    """

    def __init__(
        self,
        initial_sparsity: float = 0.0,
        final_sparsity: float | None = None,
        power: float = 3.0,
    ):
        super().__init__(initial_sparsity, final_sparsity)
        self.power = check_number("power", power, "(0, inf)")

    def remaining(self, progress):
        return (1 - progress) ** self.power

    def get_config(self) -> dict:
        return {**super().get_config(), "power": self.power}


@keras.saving.register_keras_serializable("keras_tickets")
class CosineRamp(Ramp):
    """What remains to prune falls as half a cosine: slow at first, and at the end.

    Args:
        initial_sparsity: Share of zeros at progress 0, in [0, 1).
        final_sparsity: Share of zeros at progress 1; `None` for each kernel's own target.

    Example:

    >>> import keras_tickets as kt
    >>> ramp = kt.schedules.CosineRamp()
    >>> [round(float(ramp.sparsity(step, 0, 100, target=0.8)), 3) for step in (0, 50, 100)]
    [0.0, 0.4, 0.8]
    """

    def remaining(self, progress):
        return (1 + tf.cos(math.pi * progress)) / 2


@keras.saving.register_keras_serializable("keras_tickets")
class ConstantSparsity(Ramp):
    """The final sparsity from the first update on: one-shot pruning.

    Args:
        final_sparsity: Share of zeros, in [0, 1); `None` for each kernel's own target.

    Example:

    >>> import keras_tickets as kt
    >>> ramp = kt.schedules.ConstantSparsity()
    >>> [round(float(ramp.sparsity(step, 0, 100, target=0.8)), 3) for step in (0, 50, 100)]
    [0.8, 0.8, 0.8]
    """

    def __init__(self, final_sparsity: float | None = None):
        super().__init__(0.0, final_sparsity)

    def remaining(self, progress):
        return tf.zeros_like(progress)

    def get_config(self) -> dict:
        return {"final_sparsity": self.final_sparsity}
