"""Trainers: models that train other models."""

from keras_tickets.trainers.distill import DistillationTrainer
from keras_tickets.trainers.teacher_logits import TeacherLogits, cache_logits

__all__ = ["DistillationTrainer", "TeacherLogits", "cache_logits"]
