"""Data sets whose order and augmentation are a function of (seed, epoch, index) only."""

from keras_tickets.data.array_files import npz
from keras_tickets.data.arrays import Arrays
from keras_tickets.data.dataset import Dataset
from keras_tickets.data.image_folders import image_folder
from keras_tickets.data.own import BatchSource
from keras_tickets.data.registry import DATASETS, Description, describe, load
from keras_tickets.data.source import Batches, Source
from keras_tickets.data.streamed_dataset import StreamedDataset
from keras_tickets.data.streams import stream
from keras_tickets.data.texts import text_file, tiny_shakespeare
from keras_tickets.data.tfds_source import tfds

__all__ = [
    "DATASETS",
    "Arrays",
    "BatchSource",
    "Batches",
    "Dataset",
    "Description",
    "Source",
    "StreamedDataset",
    "describe",
    "image_folder",
    "load",
    "npz",
    "stream",
    "text_file",
    "tfds",
    "tiny_shakespeare",
]
