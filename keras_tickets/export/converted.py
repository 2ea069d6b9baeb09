"""Formats made from a SavedModel by a converter in another process."""

import pathlib
import re
import tempfile

import keras

from keras_tickets.export import advice, apart, saved_model
from keras_tickets.export.interface import Interface

NAMES = {"litert": "LiteRT", "onnx": "ONNX", "openvino": "OpenVINO"}
# How OpenVINO's converter reports operators that it does not support, or only in part.
MISSING = re.compile(r"No conversion rule found for operations?: ([\w, ]+)|-- (\w+) with a message")


def convert(format: str, model: keras.Model, interface: Interface, path: pathlib.Path) -> None:
    """Writes a plain Keras model to `path`.

    Raises:
        apart.Failure: The converter refuses it or crashes.
    """
    with tempfile.TemporaryDirectory(dir=path.parent.parent) as source:
        outputs = saved_model.write_flat(model, interface, pathlib.Path(source))
        try:
            reply = apart.request(
                "convert",
                format,
                source=source,
                target=str(path),
                inputs=[spec.name for spec in interface.inputs],
                outputs=outputs,
            )
        except apart.Failure as error:
            found = [known or partly for known, partly in MISSING.findall(str(error))]
            if not found:
                raise
            operators = sorted({name for names in found for name in names.split(", ")})
            raise apart.Failure(advice.lacks(NAMES[format], operators)) from error
    if reply["lacks"]:
        raise apart.Failure(advice.lacks(NAMES[format], reply["lacks"]))
