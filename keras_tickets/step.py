"""`kt.Step`: points in training."""

import numbers
import re
from decimal import Decimal

from keras_tickets._checks import check_integer

__all__ = ["Step"]

_TEXT = re.compile(r"([0-9]+)(it|ep)|([0-9]+(?:\.[0-9]+)?)(%)")
_ALLOWED = (
    'a non-negative int or "500it" (optimizer steps), "10ep" (epochs), "75%" or a float in (0, 1) '
    "(share of all steps)"
)


class Step:
    """A point in training, in optimizer steps, in epochs or as a share of the whole.

    Two steps are equal if they mean the same: `Step(500) == Step("500it")` and
    `Step(0.75) == Step("75%")`. Steps in different units are never equal.

    Args:
        value: An int or `"500it"` for optimizer steps, `"10ep"` for epochs, `"75%"` or a float in
            (0, 1) for a share of all optimizer steps; or another `Step`.

    Raises:
        TypeError: If `value` is neither a number nor a string nor a `Step`.
        ValueError: If it is out of range, or a string that is none of these.

    Example:

    >>> import keras_tickets as kt
    >>> kt.Step("75%").resolve(total_steps=1000)
    750
    >>> kt.Step("10ep").resolve(steps_per_epoch=600)
    6000
    """

    __slots__ = ("_amount", "_unit", "_value")

    def __init__(self, value: "int | float | str | Step"):
        if isinstance(value, Step):
            value = value.value
        self._value, self._amount, self._unit = _parse(value)

    @property
    def value(self) -> int | float | str:
        """The value that the step was made from; `Step(step.value) == step`."""
        return self._value

    @property
    def is_relative(self) -> bool:
        """Whether the step depends on the length of training, or of an epoch."""
        return self._unit != "it"

    def resolve(self, total_steps: int | None = None, steps_per_epoch: int | None = None) -> int:
        """The number of optimizer steps taken before this point. Shares are rounded down.

        Args:
            total_steps: Optimizer steps of the whole training.
            steps_per_epoch: Optimizer steps of an epoch.

        Returns:
            A non-negative int.

        Raises:
            TypeError: If an argument is not an int.
            ValueError: If the argument that this step depends on is missing or negative.
        """
        if self._unit == "it":
            return self._amount
        if self._unit == "%":
            name, length = "total_steps", total_steps
        else:
            name, length = "steps_per_epoch", steps_per_epoch
        if length is None:
            raise ValueError(
                f"{self!r} cannot be resolved, because `{name}` is not known: give the step in "
                "optimizer steps, or call `optimizer.set_total_steps(n)`."
            )
        share = self._amount / 100 if self._unit == "%" else self._amount
        return int(share * check_integer(name, length, low=0))

    def __eq__(self, other):
        if not isinstance(other, Step):
            return NotImplemented
        return (self._amount, self._unit) == (other._amount, other._unit)

    def __hash__(self):
        return hash((self._amount, self._unit))

    def __str__(self):
        if self._unit == "%":
            return f"{self._amount.normalize():f}%"
        return f"{self._amount}{self._unit}"

    def __repr__(self):
        return f"Step({self._value!r})"


def _parse(value):
    """The value as a plain Python object, the amount and its unit."""
    refusal = f"A step must be {_ALLOWED}. Received: {value!r}"
    if isinstance(value, bool):
        raise TypeError(refusal)
    if isinstance(value, numbers.Integral):
        if value < 0:
            raise ValueError(refusal)
        return int(value), int(value), "it"
    if isinstance(value, numbers.Real):
        value = float(value)
        if not 0 < value < 1:
            raise ValueError(refusal)
        return value, 100 * Decimal(repr(value)), "%"
    if not isinstance(value, str):
        raise TypeError(refusal)
    match = _TEXT.fullmatch(value)
    if not match:
        raise ValueError(refusal)
    if match[2]:
        return value, int(match[1]), match[2]
    percent = Decimal(match[3])
    if percent > 100:
        raise ValueError(refusal)
    return value, percent, "%"
