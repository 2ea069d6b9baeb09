"""Checks of arguments. Each error says what the argument must be, then `Received: name=value`."""

import math
import numbers
import re
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import keras
import numpy as np

from keras_tickets import _keras_compat

LARGEST = 2**63 - 1  # that an int64 tensor can hold
_KERAS_2 = ("tf_keras", "tensorflow")
_INTEGERS = {0: "a non-negative integer", 1: "a positive integer"}
_NUMBERS = {
    "(-inf, inf)": "a finite number",
    "(0, inf)": "a positive finite number",
    "[0, inf)": "a non-negative finite number",
}

T = TypeVar("T")


def check_integer(name: str, value: Any, low: int, high: int | None = None) -> int:
    """The value as a Python int.

    Args:
        name: Name of the argument.
        value: What the user gave.
        low: The smallest value allowed.
        high: The largest value allowed; `None` for the largest that a tensor can hold.

    Raises:
        ValueError: It is not an integer in this range.
    """
    integer = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if integer and value > LARGEST and high is None:
        high = LARGEST
    if not integer or value < low or (high is not None and value > high):
        if high is not None:
            allowed = f"an integer in [{low}, {high}]"
        else:
            allowed = _INTEGERS.get(low, f"an integer of at least {low}")
        raise ValueError(f"`{name}` must be {allowed}. Received: {name}={value!r}")
    return int(value)


def check_number(name: str, value: Any, interval: str = "(-inf, inf)") -> float:
    """The value as a Python float.

    Args:
        name: Name of the argument.
        value: What the user gave.
        interval: The allowed values in mathematical notation: `"[0, 1)"` includes 0 and excludes 1.

    Raises:
        TypeError: It is not a number.
        ValueError: It is not in the interval.
    """
    allowed = _NUMBERS.get(interval, f"a number in {interval}")
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(
            f"`{name}` must be {allowed}. "
            f"Received: {name}={value!r} (of type {type(value).__name__})"
        )
    low, high = (float(bound) for bound in interval[1:-1].split(","))
    number = float(value)
    above = number >= low if interval[0] == "[" else number > low
    below = number <= high if interval[-1] == "]" else number < high
    if math.isnan(number) or not (above and below):
        raise ValueError(f"`{name}` must be {allowed}. Received: {name}={value!r}")
    return number


def check_sparsity(value: Any, name: str = "sparsity") -> float:
    """The value as a Python float.

    Args:
        value: What the user gave.
        name: Name of the argument.

    Raises:
        TypeError: It is not a number.
        ValueError: It is not in [0, 1).
    """
    return check_number(name, value, "[0, 1)")


def check_seed(value: Any, name: str = "seed") -> int:
    """The value as a Python int.

    Args:
        value: What the user gave.
        name: Name of the argument.

    Raises:
        ValueError: It is not a non-negative integer.
    """
    return check_integer(name, value, low=0)


def check_flag(name: str, value: Any) -> bool:
    """The value.

    Args:
        name: Name of the argument.
        value: What the user gave.

    Raises:
        TypeError: It is neither True nor False.
    """
    if not isinstance(value, bool):
        raise TypeError(f"`{name}` must be True or False. Received: {name}={value!r}")
    return value


def check_text(name: str, value: Any) -> str:
    """The value.

    Args:
        name: Name of the argument.
        value: What the user gave.

    Raises:
        TypeError: It is not a string.
    """
    if not isinstance(value, str):
        raise TypeError(f"`{name}` must be a string. Received: {name}={value!r}")
    return value


def check_one_of(name: str, value: T, allowed: Sequence[T]) -> T:
    """The value.

    Args:
        name: Name of the argument.
        value: What the user gave.
        allowed: The values allowed.

    Raises:
        ValueError: It is none of them.
    """
    if not any(type(value) is type(choice) and value == choice for choice in allowed):
        raise ValueError(f"`{name}` must be one of {tuple(allowed)}. Received: {name}={value!r}")
    return value


def check_some_of(name: str, values: Any, allowed: Sequence[T]) -> tuple[T, ...]:
    """The values, each once.

    Args:
        name: Name of the argument.
        values: What the user gave: one value or several.
        allowed: The values allowed.

    Raises:
        ValueError: One of them is not allowed.
    """
    several = isinstance(values, Iterable) and not isinstance(values, str)
    some = tuple(values) if several else (values,)
    if any(value not in allowed for value in some):
        raise ValueError(f"`{name}` must be among {tuple(allowed)}. Received: {name}={values!r}")
    return tuple(dict.fromkeys(some))


def compile_regex(name: str, pattern: str) -> re.Pattern:
    """The compiled regex.

    Args:
        name: Name of the argument.
        pattern: What the user gave.

    Raises:
        ValueError: It is not a valid regex.
    """
    try:
        return re.compile(pattern)
    except (re.error, TypeError) as error:
        raise ValueError(
            f"`{name}` must be a valid regex: {error}. Received: {name}={pattern!r}"
        ) from error


def check_model(model: Any, name: str = "model") -> keras.Model:
    """The model.

    Args:
        model: What the user gave.
        name: Name of the argument.

    Raises:
        TypeError: It is not a Keras 3 model.
        ValueError: It is not built.
    """
    if not isinstance(model, keras.Model):
        kind = type(model)
        keras_2 = any(base.__module__.split(".")[0] in _KERAS_2 for base in kind.__mro__)
        advice = "Keras 2 models do not work: build it with `import keras`. " if keras_2 else ""
        raise TypeError(
            f"`{name}` must be a keras.Model of Keras 3. {advice}"
            f"Received: an object of class {kind.__module__}.{kind.__qualname__}"
        )
    layers = _keras_compat.all_layers(model)
    built = model.built or model.get_build_config()
    if not built or not model.weights and any(not layer.built for layer in layers):
        raise ValueError(
            f"Model {model.name!r} is not built: its kernels do not exist yet. Start it with "
            "keras.Input, or call it on a batch."
        )
    return model


def check_logit_shapes(teacher: Sequence[int | None], student: Sequence[int | None]) -> None:
    """Checks that two shapes can be those of the same logits.

    Args:
        teacher: Shape of the teacher's output; `None` for a size that is not known.
        student: Shape of the student's output.

    Raises:
        ValueError: The shapes differ, or there are fewer than two classes.
    """
    teacher, student = tuple(teacher), tuple(student)
    known = zip(teacher, student, strict=False)
    if len(teacher) != len(student) or any(a != b for a, b in known if None not in (a, b)):
        raise ValueError(
            "Teacher and student must give logits of the same shape. Received: teacher "
            f"{teacher}, student {student}."
        )
    if len(student) < 2 or student[-1] == 1:
        raise ValueError(
            "Soft labels need logits of shape (batch, …, classes) with two classes or more. "
            f"Received: shape {student}"
        )
