"""Trainers: Keras models whose `fit` is more than one training of one network."""

from keras_tickets.trainers.rewind import RewindTrainer

__all__ = ["RewindTrainer"]
