"""A Keras model as a TensorFlow SavedModel."""

import pathlib

import keras
import tensorflow as tf

from keras_tickets import _keras_compat
from keras_tickets.export.interface import Interface, is_flat, name_outputs
from keras_tickets.export.packed_weights import PackedWeight, gets_smaller

ENDPOINT = "serve"
DENSE_NOTE = (
    "A SavedModel stores every zero like any other weight, so pruning alone makes it neither "
    "smaller nor faster than the dense model's."
)
PACKED_NOTE = (
    "{count} of {all} weights lie on disk as their non-zero values and one bit a value: {packed:,} "
    "bytes in place of {dense:,}. They are expanded once, when the model is loaded: it is neither "
    "smaller in memory nor faster than the dense model."
)
UNPACKED_NOTE = (
    "No weight has enough zeros to take less as non-zero values and bits, so nothing is packed: "
    "the model is neither smaller nor faster than the dense one."
)


def write(
    model: keras.Model, interface: Interface, path: pathlib.Path, *, packed: bool = False
) -> str:
    """Writes a plain Keras model to `path`; returns a sentence on what that saves.

    The endpoint reads packed weights in place of the model's own, at each use, so that TensorFlow
    optimizes the same graph as without packing and the outputs are bit-identical. This goes through
    `StatelessScope`, as in `kt.layers.Sparse`, so layers need not know about it.
    """
    chosen = [v for v in model.variables if packed and gets_smaller(v.numpy())]
    weights = [PackedWeight(variable.numpy()) for variable in chosen]
    readers = [(v, weight.read) for v, weight in zip(chosen, weights, strict=True)]

    def serve(*inputs):
        with _keras_compat.reading_scope(readers, model) as scope:
            outputs = model(*inputs, training=False)
        for variable, value in scope.assigned:
            variable.assign(value)
        return outputs if is_flat(outputs) else name_outputs(outputs)

    archive = _archive(model, {id(variable) for variable in chosen})
    for weight in weights:
        archive.track(weight)
    archive.add_variable_collection("packed", [v for w in weights for v in (w.values, w.bits)])
    archive.add_endpoint(ENDPOINT, serve, interface.pack(interface.inputs))
    archive.write_out(str(path), verbose=False)
    if not packed:
        return DENSE_NOTE
    if not weights:
        return UNPACKED_NOTE
    return PACKED_NOTE.format(
        count=len(weights),
        all=len(model.variables),
        packed=sum(weight.bytes for weight in weights),
        dense=sum(variable.numpy().nbytes for variable in chosen),
    )


def write_flat(model: keras.Model, interface: Interface, path: pathlib.Path) -> list[str]:
    """Writes a SavedModel for converters, with flat inputs and outputs, each with its own name.

    Returns:
        The names of the outputs, in the model's order.
    """
    names: list[str] = []

    def serve(*values):
        with _keras_compat.plain_argmax():
            outputs = interface.call(model, values)
        names[:] = interface.file_names(list(outputs))
        return {
            name: tf.identity(value) for name, value in zip(names, outputs.values(), strict=True)
        }

    archive = _archive(model, set())
    archive.add_endpoint(ENDPOINT, serve, interface.inputs)
    archive.write_out(str(path), verbose=False)
    return names


def _archive(model: keras.Model, replaced: set[int]) -> keras.export.ExportArchive:
    """Lists only TensorFlow's variables: with Keras's own as well, each would be written twice."""
    archive = keras.export.ExportArchive()
    archive.track(model)
    for name in ("variables", "trainable_variables", "non_trainable_variables"):
        kept = [v.value for v in getattr(model, name) if id(v) not in replaced]
        archive.add_variable_collection(name, kept)
    return archive


def recognizes(path: pathlib.Path) -> bool:
    """Whether a directory contains a SavedModel and nothing else."""
    if not (path / "saved_model.pb").is_file():
        return False
    known = {"saved_model.pb", "fingerprint.pb", "variables", "assets"}
    variables = path / "variables"
    weights = list(variables.iterdir()) if variables.is_dir() else []
    return {entry.name for entry in path.iterdir()} <= known and all(
        weight.name.startswith("variables.") and weight.is_file() for weight in weights
    )
