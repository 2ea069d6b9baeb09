"""The values that a sweep tries for one setting, and how they are written and named."""

import ast
import dataclasses
import hashlib
import math
import re
from typing import Any

GIN_FILE = "gin_file"
_LONGEST = 40
_RANGE = {"from", "to", "scale"}
_REFERENCE = re.compile(r"[@%][\w./]+(\(\))?")


@dataclasses.dataclass(frozen=True)
class Range:
    """Numbers to draw from, between two ends.

    Attributes:
        low: The lower end.
        high: The upper end.
        log: Whether their logarithm is drawn evenly.
    """

    low: float
    high: float
    log: bool = False

    def at(self, share: float) -> float | int:
        """The number at a share in [0, 1) of the range, to four digits; whole between whole ends.

        Example:

        ```python
        from keras_tickets.experiments.sweeps.axes import Range

        assert Range(0.01, 1.0, log=True).at(0.5) == 0.1
        assert [Range(1, 3).at(share) for share in (0.0, 0.5, 0.99)] == [1, 2, 3]
        ```
        """
        if isinstance(self.low, int) and isinstance(self.high, int) and not self.log:
            return self.low + int(share * (self.high - self.low + 1))
        if self.log:
            ends = math.log(self.low), math.log(self.high)
            return float(f"{math.exp(ends[0] + share * (ends[1] - ends[0])):.4g}")
        return float(f"{self.low + share * (self.high - self.low):.4g}")


def read_axis(name: str, value: Any) -> list | Range:
    """The values of a setting in a grid: a list, or `{from, to, scale}`.

    Raises:
        ValueError: It is neither, or is empty.
    """
    if isinstance(value, dict) and {"from", "to"} <= set(value) <= _RANGE:
        scale = value.get("scale", "linear")
        low, high = value["from"], value["to"]
        numbers = all(type(end) in (int, float) and math.isfinite(end) for end in (low, high))
        if (
            not numbers
            or scale not in ("linear", "log")
            or not low < high
            or (scale == "log" and low <= 0)
        ):
            raise ValueError(
                f"{name!r} must go from a number to a higher one, with scale linear or log, and "
                f"with log from a positive one. Received: {value!r}"
            )
        return Range(low, high, scale == "log")
    if not isinstance(value, list) or not value:
        raise ValueError(
            f"{name!r} must have a list of values, at least one, or {{from, to, scale}}. "
            f"Received: {value!r}"
        )
    texts = [gin_text(name, one) for one in value]
    if twice := [text for index, text in enumerate(texts) if text in texts[:index]]:
        raise ValueError(f"{name!r} has {twice[0]} twice. Received: {value!r}")
    return value


def read_values(text: str) -> list:
    """The list in a flag, `[0.8, 0.9]` or `[@SGD, @Adam]`.

    Raises:
        ValueError: It is none.
    """
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        inside = re.fullmatch(r"\s*\[(.*)\]\s*", text)
        words = [word.strip() for word in inside[1].split(",")] if inside else []
        if not words or not all(map(_REFERENCE.fullmatch, words)):
            raise ValueError(
                f"it must be a list of values, [value, value]. Received: {text!r}"
            ) from None
        return words
    if not isinstance(value, list):
        raise ValueError(f"it must be a list of values, [value, value]. Received: {text!r}")
    return value


def gin_text(name: str, value: Any) -> str:
    """A value as it is written in a gin file; a text that begins with `@` or `%` is a reference.

    Raises:
        ValueError: Gin has no such value.

    Example:

    ```python
    from keras_tickets.experiments.sweeps.axes import gin_text

    assert gin_text("train.metrics", ["accuracy", "@F1"]) == "['accuracy', @F1]"
    ```
    """
    if isinstance(value, str) and value[:1] in ("@", "%"):
        if not _REFERENCE.fullmatch(value):
            raise ValueError(f"{name!r} has a text that begins as a reference of gin: {value!r}")
        return value
    if isinstance(value, list):
        return f"[{', '.join(gin_text(name, one) for one in value)}]"
    text = repr(value)
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError):
        raise ValueError(f"{name!r} has a value that gin has none of: {value!r}") from None
    return text


def label(name: str, value: Any) -> str:
    """What a value of a setting is called in the name of a run: `sparsity=0.9`, `digits-rigl`.

    Example:

    ```python
    from keras_tickets.experiments.sweeps.axes import label

    assert label("train.sparsity", 0.9) == "sparsity=0.9"
    assert label("gin_file", "digits/rigl.gin") == "digits-rigl"
    assert label("RigL.inner", "@Adam()") == "RigL.inner=Adam"
    ```
    """
    if name == GIN_FILE:
        parts = str(value).removesuffix(".gin").replace("\\", "/").split("/")[-2:]
        return _plain("-".join(part.lstrip(".") for part in parts).strip("-"))
    text = value if isinstance(value, str) else repr(value)
    return f"{_plain(name.removeprefix('train.'))}={_plain(text)}"


def whole(name: str, value: Any, low: int = 0, high: int = 2**31 - 1) -> int:
    """Checks that a value is a whole number from `low` to `high`.

    Raises:
        ValueError: It is not.
    """
    if type(value) is not int or not low <= value <= high:
        raise ValueError(
            f"`{name}` must be an integer in [{low}, {high}]. Received: {name}={value!r}"
        )
    return value


def _plain(text: str) -> str:
    """The text in letters that a file name can have in every shell; a long one ends in a digest."""
    plain = re.sub(r"[^\w.+-]+", "-", text.strip("@%()[]{}'\" ")) or "none"
    if len(plain) <= _LONGEST:
        return plain
    return f"{plain[: _LONGEST - 9]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
