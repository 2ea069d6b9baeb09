"""Sparsities over the course of gradual pruning."""

import math

import keras
import tensorflow as tf

from keras_tickets._checks import check_number, check_sparsity


class Ramp:
    """A sparsity that rises with the progress of gradual pruning.

    It is final + (initial - final) * remaining, where `remaining` falls from 1 at progress 0 to 0
    at progress 1. To write another ramp, derive from this class and define `remaining`.

    Args:
        initial_sparsity: Share of zeros at progress 0, in [0, 1).
        final_sparsity: Share of zeros of every kernel at progress 1, in [0, 1). `None` for each
            kernel's own target, which `kt.sparsify` has set.

    Attributes:
        reaches_end: Whether there is an update at the very end of the ramp, even if that is not a
            multiple of `update_every` steps after its beginning.

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
        """Arguments of the optimizer, such as `update_every`, that the ramp brings: here none."""
        return {}

    def check_rises(self, final: float, where: str) -> None:
        """Checks that a final sparsity is not below the initial one.

        Args:
            final: The final sparsity.
            where: What it is called in the error.

        Raises:
            ValueError: It is below the initial sparsity.
        """
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
        """The sparsity of a kernel at a step. From `end` on it is the final one.

        Args:
            step: int64 scalar.
            begin: int64 scalar, the step at progress 0.
            end: int64 scalar, the step at progress 1.
            target: The kernel's own target sparsity.

        Returns:
            float64 scalar.
        """
        final = target if self.final_sparsity is None else self.final_sparsity
        length = tf.cast(tf.maximum(end - begin, 1), tf.float64)
        progress = tf.clip_by_value(tf.cast(step - begin, tf.float64) / length, 0.0, 1.0)
        risen = final + (self.initial_sparsity - final) * self.remaining(progress)
        return tf.where(step >= end, tf.constant(final, tf.float64), risen)

    def left(self, units: int, sparsity: tf.Tensor) -> tf.Tensor:
        """The number of units that a sparsity leaves. The number of zeros is rounded down.

        Args:
            units: Number of units in a group, as in `kt.structures.Layout`.
            sparsity: float64 scalar.

        Returns:
            int32 scalar.
        """
        return tf.cast(units - tf.cast(tf.floor(sparsity * units), tf.int64), tf.int32)

    def remaining(self, progress: tf.Tensor) -> tf.Tensor:
        """The formula: float64 tensor in [0, 1] to float64 tensor in [0, 1]."""
        raise TypeError(f"{type(self).__name__} must define `remaining`.")

    def get_config(self) -> dict:
        """The constructor arguments."""
        return {"initial_sparsity": self.initial_sparsity, "final_sparsity": self.final_sparsity}

    @classmethod
    def from_config(cls, config: dict) -> "Ramp":
        """Creates a ramp from its constructor arguments."""
        return cls(**config)

    def __repr__(self):
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.get_config().items())
        return f"{type(self).__name__}({arguments})"


@keras.saving.register_keras_serializable("keras_tickets")
class PolynomialDecay(Ramp):
    """A polynomial ramp: what remains to be pruned falls as (1 - progress) ** power.

    Args:
        initial_sparsity: Share of zeros at progress 0, in [0, 1).
        final_sparsity: Share of zeros at progress 1; `None` for each kernel's own target.
        power: Positive number: 3 for the cubic ramp of the paper, 1 for a straight line.

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
    """Half a cosine: pruning is slow at the beginning and at the end.

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
    """One-shot pruning: the final sparsity from the first update on.

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
