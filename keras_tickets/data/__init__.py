"""Image data sets whose order and augmentation are a function of (seed, epoch, index) only."""

from keras_tickets.data.dataset import Dataset
from keras_tickets.data.registry import DATASETS, Description, describe, load
from keras_tickets.data.streamed_dataset import StreamedDataset

__all__ = ["DATASETS", "Dataset", "Description", "StreamedDataset", "describe", "load"]
