"""A Keras model as a LiteRT (TensorFlow Lite) file with sparse kernels."""

import pathlib
from collections.abc import Sequence

import keras
import numpy as np

from keras_tickets.export.converted import convert
from keras_tickets.export.interface import Interface
from keras_tickets.export.litert_file import IDENTIFIER
from keras_tickets.export.litert_notes import note_on_calibration


def write(
    model: keras.Model,
    interface: Interface,
    path: pathlib.Path,
    examples: Sequence[np.ndarray] = (),
) -> str:
    """Converts a plain Keras model to the file `path`, with dense kernels; returns remarks.

    With `examples`, an array for each input, the file computes in int8 where it can.
    """
    remarks = convert("litert", model, interface, path, examples)
    if examples:
        remarks = f"{note_on_calibration(path.read_bytes(), len(examples[0]))} {remarks}"
    return remarks


def recognizes(path: pathlib.Path) -> bool:
    """Whether a file is a LiteRT model."""
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return file.read(8)[4:] == IDENTIFIER
