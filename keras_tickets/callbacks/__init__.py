"""Keras callbacks."""

from keras_tickets.callbacks.after_updates import AfterUpdates
from keras_tickets.callbacks.checkpoint import Checkpoint
from keras_tickets.callbacks.stop_on_nan import StopOnNaN

__all__ = ["AfterUpdates", "Checkpoint", "StopOnNaN"]
