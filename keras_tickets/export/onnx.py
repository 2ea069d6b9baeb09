"""A Keras model as an ONNX file."""

import logging
import pathlib

import keras
import numpy as np
import tensorflow as tf

from keras_tickets import _keras_compat
from keras_tickets.export.measure import Runner

NOTE = (
    "ONNX stores every zero like any other weight, so pruning alone makes this file neither "
    "smaller nor faster than the dense model's."
)


def write(model: keras.Model, path: pathlib.Path) -> str:
    """Writes a plain Keras model to the file `path`, and returns in a sentence what that gains."""
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    # Given, because Keras looks for it only in models that have been called.
    signature = _keras_compat.input_signature(model)
    model.export(str(path), format="onnx", verbose=False, input_signature=signature)
    return NOTE


def load(path: pathlib.Path, signature) -> Runner:
    """The file in ONNX Runtime, on the CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]

    def run(inputs):
        values = map(np.asarray, tf.nest.flatten(inputs))
        return session.run(None, dict(zip(names, values, strict=True)))

    return run
