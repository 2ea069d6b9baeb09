"""The same steps on a finite training set and on fresh samples."""

from keras_tickets.analysis.worlds.worlds import Course, Worlds, worlds

__all__ = ["Course", "Worlds", "worlds"]
