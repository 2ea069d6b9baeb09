"""A Keras model as OpenVINO IR."""

import pathlib

import keras

from keras_tickets.export.converted import convert
from keras_tickets.export.interface import Interface

NOTE = (
    "OpenVINO IR stores every zero like any other weight, so pruning alone makes these files "
    "neither smaller nor faster than the dense model's. Measured in float32; on some CPUs OpenVINO "
    "computes in bfloat16 unless told otherwise."
)
BEGINNING = 4096  # bytes, which contain the element <net>


def write(model: keras.Model, interface: Interface, path: pathlib.Path) -> str:
    """Writes `path` and the weights beside it; returns sentences on what that saves."""
    return f"{NOTE} {convert('openvino', model, interface, path)}".rstrip()


def recognizes(path: pathlib.Path) -> bool:
    """Whether a file describes an OpenVINO model."""
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        beginning = file.read(BEGINNING)
    return beginning.startswith(b"<?xml") and b"<net " in beginning
