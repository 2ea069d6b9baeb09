"""Keras callbacks."""

from keras_tickets.callbacks.after_updates import AfterUpdates
from keras_tickets.callbacks.checkpoint import Checkpoint
from keras_tickets.callbacks.stop_on_nan import StopOnNaN
from keras_tickets.callbacks.topology_logger import TopologyLogger

__all__ = ["AfterUpdates", "Checkpoint", "StopOnNaN", "TopologyLogger"]
