"""A Keras model as an ONNX file."""

import pathlib

import keras

from keras_tickets.export.converted import convert
from keras_tickets.export.interface import Interface

NOTE = (
    "ONNX stores every zero like any other weight, so pruning alone makes this file neither "
    "smaller nor faster than the dense model's."
)


def write(model: keras.Model, interface: Interface, path: pathlib.Path) -> str:
    """Writes a plain Keras model to the file `path`; returns a sentence on what that saves."""
    return f"{NOTE} {convert('onnx', model, interface, path)}".rstrip()


def recognizes(path: pathlib.Path) -> bool:
    """Whether a file is an ONNX model."""
    import onnx

    try:
        model = onnx.load(path, load_external_data=False)
    except Exception:
        return False
    return bool(model.ir_version and model.graph.node and model.opset_import)
