"""Formats made from a SavedModel by a converter in another process."""

import pathlib
import re
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_tickets import _keras_compat
from keras_tickets._sparse_storage.kernel import SparseKernel
from keras_tickets.export import advice, apart, saved_model
from keras_tickets.export.interface import Interface

NAMES = {"litert": "LiteRT", "onnx": "ONNX", "openvino": "OpenVINO"}
# Dtypes in which a format cannot compute, or its converter makes mistakes.
LACKS = {
    "litert": ("float16", "bfloat16", "float64"),
    "onnx": ("bfloat16",),
    "openvino": ("bfloat16",),
}
FLOAT32_NOTE = "The file computes in float32 where the model computes in {dtypes}."
# How OpenVINO's converter reports operators that it does not support, or only in part.
MISSING = re.compile(r"No conversion rule found for operations?: ([\w, ]+)|-- (\w+) with a message")


def convert(
    format: str,
    model: keras.Model,
    interface: Interface,
    path: pathlib.Path,
    examples: Sequence[np.ndarray] = (),
    kernels: Mapping[str, SparseKernel] | None = None,
) -> str:
    """Writes a plain Keras model to `path`; returns a remark, which may be empty.

    Layers that compute in a dtype which the format lacks compute in float32 in the file.

    Args:
        format: The format.
        model: The model.
        interface: Its inputs.
        path: The file to write.
        examples: An array for each input, to calibrate by, for LiteRT.
        kernels: By name, kernels that become further inputs of the file.

    Raises:
        apart.Failure: The converter refuses it or crashes.
    """
    others = [
        layer
        for layer in _keras_compat.all_layers(model)
        if layer.dtype_policy.quantization_mode is None and layer.compute_dtype in LACKS[format]
    ]
    dtypes = sorted({layer.compute_dtype for layer in others})
    with tempfile.TemporaryDirectory(dir=path.parent.parent) as source:
        with _keras_compat.computing_in("float32", others):
            outputs = saved_model.write_flat(model, interface, pathlib.Path(source), kernels)
        calibration = {}
        if examples:
            calibration["calibration"] = f"{source}/calibration.npz"
            np.savez(calibration["calibration"], **_in_batches(examples, interface))
        try:
            reply = apart.request(
                "convert",
                format,
                source=source,
                target=str(path),
                inputs=[spec.name for spec in interface.inputs],
                outputs=outputs,
                **calibration,
            )
        except apart.Failure as error:
            found = [known or partly for known, partly in MISSING.findall(str(error))]
            if not found:
                raise
            operators = sorted({name for names in found for name in names.split(", ")})
            raise apart.Failure(advice.lacks(NAMES[format], operators)) from error
    if reply["lacks"]:
        raise apart.Failure(advice.lacks(NAMES[format], reply["lacks"]))
    return FLOAT32_NOTE.format(dtypes=" and ".join(dtypes)) if dtypes else ""


def _in_batches(examples: Sequence[np.ndarray], interface: Interface) -> dict[str, Any]:
    """The examples of each input, with an axis of batches of the size that the model takes."""
    size = interface.batch_size or 1
    return {
        spec.name: values.reshape(-1, size, *values.shape[1:])
        for spec, values in zip(interface.inputs, examples, strict=True)
    }
