"""A Keras model as a LiteRT (TensorFlow Lite) file with sparse kernels."""

import pathlib

import keras

from keras_tickets.export.converted import convert
from keras_tickets.export.interface import Interface
from keras_tickets.export.litert_file import IDENTIFIER


def write(model: keras.Model, interface: Interface, path: pathlib.Path) -> str:
    """Converts a plain Keras model to the file `path`, with dense kernels; returns remarks."""
    return convert("litert", model, interface, path)


def recognizes(path: pathlib.Path) -> bool:
    """Whether a file is a LiteRT model."""
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return file.read(8)[4:] == IDENTIFIER
