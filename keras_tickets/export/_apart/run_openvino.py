"""OpenVINO IR: a file and its weights beside it."""

import functools

import openvino

# Kept, because loading its plugins takes seconds.
_core = functools.cache(openvino.Core)


def convert(source, target, inputs, outputs):
    """Converts a SavedModel; the converter's error names what OpenVINO lacks."""
    converted = openvino.convert_model(source)
    ordered = openvino.Model(
        _in_order(converted.outputs, outputs), _in_order(converted.inputs, inputs), "model"
    )
    openvino.save_model(ordered, target, compress_to_fp16=False)
    return []


def _in_order(ports, names):
    """The nodes of all ports, in the order of their names."""
    places = {name: place for place, name in enumerate(names)}
    by_place = sorted(
        ports, key=lambda port: min(places.get(name, len(names)) for name in port.get_names())
    )
    return [port.get_node() for port in by_place]


def prepare(path, inputs):
    """A function without arguments that runs the model on `inputs`, arrays by name."""
    model = _core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    known = {name for port in model.inputs for name in port.get_names()}
    inputs = {name: value for name, value in inputs.items() if name in known}
    ports = {name: port for port in model.outputs for name in port.get_names()}

    def call():
        results = model(inputs)
        return {name: results[port] for name, port in ports.items()}

    return call
