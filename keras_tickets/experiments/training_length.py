"""How long an experiment trains, for learning rate schedules that follow it."""

import contextlib
import contextvars
from collections.abc import Iterator, Sequence
from typing import Any

import keras

from keras_tickets._checks import check_integer, check_number
from keras_tickets._warnings import warn

# Settings of optimizers and schedules that are points in training, or lengths of it.
_POINTS = ("begin", "end", "steps", "decay_steps", "boundaries", "warmup_steps")
_TOTAL: contextvars.ContextVar[int] = contextvars.ContextVar("total_steps")


@contextlib.contextmanager
def training_of(steps: int) -> Iterator[None]:
    """Within this context, `total_steps()` is `steps`."""
    token = _TOTAL.set(steps)
    try:
        yield
    finally:
        _TOTAL.reset(token)


def total_steps() -> int:
    """The steps of the training that an optimizer is being made for.

    Raises:
        RuntimeError: No optimizer is being made.

    Example:

    ```python
    from keras_tickets.experiments.training_length import total_steps, training_of

    with training_of(500):
        assert total_steps() == 500
    ```
    """
    try:
        return _TOTAL.get()
    except LookupError:
        raise RuntimeError(
            "The length of training is known only while an experiment makes its optimizer: in a "
            "gin file, write the name of `train.optimizer` with `@` and without parentheses."
        ) from None


def scaled_steps(steps: int | Sequence[int], of: int) -> int | list[int]:
    """Steps of a recipe of another length, at the same shares of this training.

    Args:
        steps: A step of that recipe, or several.
        of: Steps of that recipe in all.

    Returns:
        The steps here, rounded down, at least 1: exactly `steps` where the lengths are the same.

    Raises:
        ValueError: A step or `of` is not a positive integer.

    Example:

    ```python
    from keras_tickets.experiments.training_length import scaled_steps, training_of

    with training_of(500):
        assert scaled_steps([32_000, 48_000], of=64_000) == [250, 375]
    ```
    """
    check_integer("of", of, low=1)
    if isinstance(steps, Sequence):
        return [_scaled(step, of) for step in steps]
    return _scaled(steps, of)


def _scaled(step: int, of: int) -> int:
    return max(check_integer("steps", step, low=1) * total_steps() // of, 1)


def stretched(epochs: int, stretch: float) -> int:
    """Epochs of a training that is `stretch` times as long; rounded, at least 1.

    Raises:
        ValueError: `epochs` is not a positive integer, or `stretch` not a positive number.
    """
    check_number("stretch", stretch, "(0, inf)")
    return max(round(check_integer("epochs", epochs, low=1) * stretch), 1)


def warn_of_unstretched(
    optimizer: keras.optimizers.Optimizer, unstretched: keras.optimizers.Optimizer
) -> None:
    """Warns of points in training that `train.stretch` does not move.

    Args:
        optimizer: The optimizer of the stretched training.
        unstretched: The one of a training that is not stretched.

    Warns:
        UserWarning: A setting is the same step, or epoch, in both.
    """
    before = dict(_points(unstretched.get_config()))
    for name, value in _points(optimizer.get_config()):
        if before.get(name) == value:
            warn(
                f"train.stretch does not move {name} = {value!r}. Give a share of training there "
                'instead, such as 0.75 or "75%"; in a configuration, `@total_steps()` and '
                "`@scaled_steps()` follow it."
            )


def _points(config: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """The points within a serialized object that are no share of training, by name."""
    if not isinstance(config, dict):
        return
    for key, value in config.items():
        name = f"{place}.{key}" if place else key
        if key in _POINTS and _is_fixed(value):
            yield name, value
        elif isinstance(value, dict):
            made = "class_name" in value and "config" in value
            yield from (
                _points(value["config"], value["class_name"]) if made else _points(value, name)
            )


def _is_fixed(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(map(_is_fixed, value))
    if isinstance(value, str):
        return not value.endswith("%")
    return isinstance(value, int) and value > 0


def warn_of_other_length(optimizer: keras.optimizers.Optimizer, steps: int) -> None:
    """Warns where a schedule of the learning rate ends far from the end of training.

    Args:
        optimizer: A Keras optimizer.
        steps: Training steps.

    Warns:
        UserWarning: A decay ends a tenth of training too early or too late, or a drop or the end
            of a warm-up is never reached.
    """
    for name, end in _ends(optimizer.get_config().get("learning_rate")):
        early = name in ("CosineDecay", "PolynomialDecay") and end < 0.9 * steps
        late = end > 1.1 * steps if name != "PiecewiseConstantDecay" else end >= steps
        if early or late:
            warn(
                f"The learning rate schedule {name} ends at step {end:,}, and training at step "
                f"{steps:,}. Set it for this length; in a configuration, `@total_steps()` and "
                "`@scaled_steps()` follow it."
            )


def _ends(schedule) -> Iterator[tuple[str, int]]:
    """The name of a serialized schedule, and of those within it, and the step where it ends."""
    if not isinstance(schedule, dict):
        return
    name, config = schedule["class_name"], schedule["config"]
    if name == "CosineDecay":
        warms_up = config["warmup_target"] is not None
        yield name, config["decay_steps"] + (config["warmup_steps"] if warms_up else 0)
    elif name == "PolynomialDecay" and not config["cycle"]:
        yield name, config["decay_steps"]
    elif name == "PiecewiseConstantDecay":
        yield name, max(config["boundaries"])
    elif name == "Warmup":
        yield name, config["steps"]
        yield from _ends(config["schedule"])
