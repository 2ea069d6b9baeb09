"""A Keras model as OpenVINO IR."""

import pathlib

import keras
import numpy as np
import tensorflow as tf

from keras_tickets.export.measure import Runner

NOTE = (
    "OpenVINO IR stores every zero like any other weight, so pruning alone makes these files "
    "neither smaller nor faster than the dense model's. Measured in float32; on some CPUs OpenVINO "
    "computes in bfloat16 unless told otherwise."
)


def write(model: keras.Model, path: pathlib.Path) -> str:
    """Writes `path` and the weights beside it, and returns in sentences what that gains."""
    model.export(str(path), format="openvino", verbose=False)
    return NOTE


def load(path: pathlib.Path, signature) -> Runner:
    """The files in OpenVINO, on the CPU."""
    import openvino

    model = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def run(inputs):
        results = model([np.asarray(value) for value in tf.nest.flatten(inputs)])
        return [results[output] for output in model.outputs]

    return run
