"""Trainers: Keras models whose `fit` does more than train one network on its labels."""

from keras_tickets.trainers.distill import DistillationTrainer
from keras_tickets.trainers.rewind import RewindTrainer
from keras_tickets.trainers.teacher_logits import TeacherLogits, cache_logits

__all__ = ["DistillationTrainer", "RewindTrainer", "TeacherLogits", "cache_logits"]
