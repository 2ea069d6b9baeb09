"""A Keras model as a LiteRT (TensorFlow Lite) file with sparse weights."""

import pathlib
import tempfile
import warnings

import keras
import numpy as np
import tensorflow as tf

from keras_tickets.export import litert_weights
from keras_tickets.export.measure import Runner

SIGNATURE = "serving_default"
SPARSE_NOTE = (
    "{sparse} of {all} kernels lie in the file as their non-zero values and the columns these are "
    "in. The interpreter expands them before the first call, so this model is neither smaller in "
    "memory nor faster than the dense one."
)
DENSE_NOTE = (
    "None of the {all} kernels in the main graph has enough zeros to take less as values and "
    "columns, so zeros make the model neither smaller nor faster."
)
WIDE_NOTE = "Rows longer than 256 need 2 bytes a column index: {names}."
INT8_NOTE = (
    "{int8} kernels are int8, one scale an output channel, zeros exact; they are computed with in "
    "float32, so the file is smaller, the model not faster."
)


def write(model: keras.Model, path: pathlib.Path, *, quantize: str | None = None) -> str:
    """Writes a plain Keras model to the file `path`, and returns in sentences what that gains."""
    with tempfile.TemporaryDirectory(dir=path.parent) as aside:
        dense = pathlib.Path(aside) / "dense.tflite"
        model.export(str(dense), format="litert", verbose=False)
        content = dense.read_bytes()
    content, kernels = litert_weights.encode(content, int8=quantize == "int8")
    path.write_bytes(content)
    return _note(kernels)


def _note(kernels: list[litert_weights.StoredKernel]) -> str:
    sparse = [kernel for kernel in kernels if kernel.index_bytes]
    wide = [kernel.name for kernel in sparse if kernel.index_bytes > 1]
    int8 = [kernel for kernel in kernels if kernel.int8]
    sentences = [
        (SPARSE_NOTE if sparse else DENSE_NOTE).format(sparse=len(sparse), all=len(kernels))
    ]
    if wide:
        sentences.append(WIDE_NOTE.format(names=", ".join(wide)))
    if int8:
        sentences.append(INT8_NOTE.format(int8=len(int8)))
    return " ".join(sentences)


def load(path: pathlib.Path, signature) -> Runner:
    """The file in TensorFlow's interpreter."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*tf.lite.Interpreter is deprecated")
        interpreter = tf.lite.Interpreter(str(path))
    runner = interpreter.get_signature_runner(SIGNATURE)
    inputs = _input_details(runner, tf.nest.flatten(signature))
    outputs = runner.get_output_details()
    outputs = [outputs[name] for name in sorted(outputs, key=lambda n: int(n.rpartition("_")[2]))]
    shapes = None

    def run(arguments):
        nonlocal shapes
        values = [np.asarray(value) for value in tf.nest.flatten(arguments)]
        if shapes != (shapes := [value.shape for value in values]):
            for detail, value in zip(inputs, values, strict=True):
                interpreter.resize_tensor_input(detail["index"], value.shape)
            interpreter.allocate_tensors()
        for detail, value in zip(inputs, values, strict=True):
            interpreter.set_tensor(detail["index"], value)
        interpreter.invoke()
        return [interpreter.get_tensor(detail["index"]) for detail in outputs]

    return run


def _input_details(runner, specs) -> list[dict]:
    """The file's inputs in the order of the model's, by name where the model names them."""
    details = runner.get_input_details()
    names = [spec.name for spec in specs]
    return [details[name] for name in (names if set(names) == set(details) else details)]
