"""Warnings that point at the line of the user's that led to them."""

import sys
import warnings

# Frames of these packages are not the user's; `contextlib` stands between two of them.
_LIBRARIES = ("keras_tickets", "keras", "tensorflow", "contextlib")


def warn(message: str) -> None:
    """Issues a `UserWarning` for the innermost line outside this package, Keras and TensorFlow.

    A fixed `stacklevel` cannot do that: `fit` and the constructors of optimizers are reached
    through a different number of calls.

    Args:
        message: The text of the warning.
    """
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and _package(frame) in _LIBRARIES:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, UserWarning, stacklevel=level)


def _package(frame) -> str:
    return frame.f_globals.get("__name__", "").split(".")[0]
