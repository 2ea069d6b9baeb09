"""Image data sets whose order and augmentation are a function of (seed, epoch, index) only."""

from keras_tickets.data.dataset import Dataset
from keras_tickets.data.registry import DATASETS, describe, load

__all__ = ["DATASETS", "Dataset", "describe", "load"]
