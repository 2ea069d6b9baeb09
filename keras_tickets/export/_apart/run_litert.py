"""LiteRT (TensorFlow Lite) files, run by ai_edge_litert if it is installed, or by TensorFlow."""

import functools
import importlib.util
import pathlib
import warnings

import numpy as np

SIGNATURE = "serving_default"
CONTROL = "control"


def convert(source, target, inputs, outputs, calibration=None):
    """Converts a SavedModel; returns the operators that only TensorFlow has.

    With `calibration`, a file of batches by input, to one that computes in int8.
    """
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(source, signature_keys=[SIGNATURE])
    converter.target_spec.supported_ops = [
        tf.lite.OpsSet.TFLITE_BUILTINS,
        tf.lite.OpsSet.SELECT_TF_OPS,
    ]
    converter.experimental_enable_resource_variables = True
    if calibration:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = functools.partial(_batches, calibration)
    content = converter.convert()
    pathlib.Path(target).write_bytes(content)
    return sorted(name[len("Flex") :] for name in _custom_operators(content))


def _batches(calibration):
    with np.load(calibration) as file:
        arrays = {name: file[name] for name in file.files}
    for values in zip(*arrays.values(), strict=True):
        yield SIGNATURE, dict(zip(arrays, values, strict=True))


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
    inputs = {places[name]: value for name, value in inputs.items() if name in places}
    _allocate(interpreter, inputs)

    def call():
        _set(interpreter, inputs)
        interpreter.invoke()
        return {name: interpreter.get_tensor(place) for name, place in results.items()}

    return call


def opponents(paths, inputs):
    """Functions without arguments that run models, by name, on the same inputs set beforehand.

    Returns:
        The functions, that of the first model once more as `CONTROL`; and why the interpreter
        refuses a model, by name.
    """
    first, *others = paths
    interpreters = {name: _loaded(paths[first], inputs) for name in (first, CONTROL)}
    refused = {}
    for name in others:
        try:
            interpreters[name] = _loaded(paths[name], inputs)
        except (RuntimeError, ValueError) as error:
            refused[name] = str(error)
    return {name: interpreter.invoke for name, interpreter in interpreters.items()}, refused


def shapes(path, inputs, tensors):
    """The shapes that tensors, by their indices, have when the model is run on these inputs."""
    interpreter = _loaded(path, inputs, delegates=False)
    details = {entry["index"]: entry["shape"] for entry in interpreter.get_tensor_details()}
    return [[int(size) for size in details[index]] for index in tensors]


def _loaded(path, inputs, delegates=True):
    """An interpreter that has run once on the inputs."""
    interpreter = _interpreter(path, delegates)
    places, _ = _places(interpreter)
    inputs = {places[name]: value for name, value in inputs.items() if name in places}
    _allocate(interpreter, inputs)
    _set(interpreter, inputs)
    interpreter.invoke()
    return interpreter


def _allocate(interpreter, inputs):
    for place, value in inputs.items():
        interpreter.resize_tensor_input(place, value.shape)
    interpreter.allocate_tensors()


def _set(interpreter, inputs):
    for place, value in inputs.items():
        interpreter.set_tensor(place, value)


def _places(interpreter):
    """Indices of inputs and outputs by name."""
    runner = interpreter.get_signature_runner(SIGNATURE)
    details = runner.get_input_details(), runner.get_output_details()
    return [{name: detail["index"] for name, detail in some.items()} for some in details]


def _interpreter(path, delegates=True):
    interpreter, resolver = classes()
    kind = resolver.AUTO if delegates else resolver.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*tf.lite.Interpreter is deprecated")
        return interpreter(path, experimental_op_resolver_type=kind)


def classes():
    """The interpreter that is maintained, or else TensorFlow's."""
    if importlib.util.find_spec("ai_edge_litert"):
        from ai_edge_litert import interpreter

        return interpreter.Interpreter, interpreter.OpResolverType
    try:
        from tensorflow import lite

        return lite.Interpreter, lite.experimental.OpResolverType
    except AttributeError as error:
        raise ImportError(
            "This TensorFlow has no interpreter: pip install ai-edge-litert"
        ) from error
