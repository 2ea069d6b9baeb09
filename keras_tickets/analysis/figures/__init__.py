"""Figures, drawn from plain numbers. They need matplotlib.

Each function returns a `matplotlib.figure.Figure`: `figure.savefig("accuracy.png", dpi=150)`.
"""

from keras_tickets.analysis.figures.networks import (
    degrees,
    over_time,
    pictures,
    sensitivity,
    spectrum,
    worlds,
)
from keras_tickets.analysis.figures.tickets import (
    accuracy,
    against_rewind_step,
    barriers,
    early_stop,
    losses,
)

__all__ = [
    "accuracy",
    "against_rewind_step",
    "barriers",
    "degrees",
    "early_stop",
    "losses",
    "over_time",
    "pictures",
    "sensitivity",
    "spectrum",
    "worlds",
]
