"""LiteRT (TensorFlow Lite) files."""

import pathlib
import warnings

import tensorflow as tf

SIGNATURE = "serving_default"


def convert(source, target, inputs, outputs):
    """Converts a SavedModel; returns the operators that only TensorFlow has."""
    converter = tf.lite.TFLiteConverter.from_saved_model(source, signature_keys=[SIGNATURE])
    converter.target_spec.supported_ops = [
        tf.lite.OpsSet.TFLITE_BUILTINS,
        tf.lite.OpsSet.SELECT_TF_OPS,
    ]
    converter.experimental_enable_resource_variables = True
    content = converter.convert()
    pathlib.Path(target).write_bytes(content)
    return sorted(name[len("Flex") :] for name in _custom_operators(content))


def _custom_operators(content):
    from tensorflow.lite.python import schema_py_generated as schema

    model = schema.Model.GetRootAs(content, 0)
    codes = (model.OperatorCodes(index) for index in range(model.OperatorCodesLength()))
    names = {(code.CustomCode() or b"").decode() for code in codes}
    return {name for name in names if name.startswith("Flex")}


def prepare(path, inputs):
    """A function without arguments that runs the model on `inputs`, arrays by name."""
    interpreter = _interpreter(path)
    places, results = _places(interpreter)
    inputs = {name: value for name, value in inputs.items() if name in places}
    for name, value in inputs.items():
        interpreter.resize_tensor_input(places[name], value.shape)
    interpreter.allocate_tensors()

    def call():
        for name, value in inputs.items():
            interpreter.set_tensor(places[name], value)
        interpreter.invoke()
        return {name: interpreter.get_tensor(place) for name, place in results.items()}

    return call


def _places(interpreter):
    """Indices of inputs and outputs by name."""
    runner = interpreter.get_signature_runner(SIGNATURE)
    details = runner.get_input_details(), runner.get_output_details()
    return [{name: detail["index"] for name, detail in some.items()} for some in details]


def _interpreter(path):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*tf.lite.Interpreter is deprecated")
        return tf.lite.Interpreter(path)
