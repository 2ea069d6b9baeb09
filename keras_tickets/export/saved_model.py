"""A Keras model as a TensorFlow SavedModel."""

import pathlib
from collections.abc import Mapping

import keras
import tensorflow as tf

from keras_tickets import _keras_compat
from keras_tickets._sparse_storage.kernel import SparseKernel
from keras_tickets.export.interface import Interface, is_flat, name_outputs
from keras_tickets.export.packed_weights import PackedWeight, gets_smaller
from keras_tickets.layers._stand_ins import standing_in
from keras_tickets.layers.sparse_dense import SparseDense

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
STORED_NOTE = (
    "Kernels {paths} stay as they are stored, as their weights and their positions, and TensorFlow "
    "makes a sparse matrix of them at each call. Export `kt.strip(model)` for dense kernels."
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
    if stored := _stored_layers(model):
        return STORED_NOTE.format(paths=[layer.masked_kernels[0].name for layer in stored])
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


def takes_stored(model: keras.Model, packed: bool) -> bool:
    """Whether layers that store kernels sparsely can stay: if stock TensorFlow computes them."""
    engines = {layer.engine for layer in _stored_layers(model)}
    return not packed and engines <= {"tensorflow"}


def _stored_layers(model):
    return [one for one in _keras_compat.all_layers(model) if isinstance(one, SparseDense)]


def write_flat(
    model: keras.Model,
    interface: Interface,
    path: pathlib.Path,
    kernels: Mapping[str, SparseKernel] | None = None,
) -> list[str]:
    """Writes a SavedModel for converters, with flat inputs and outputs, each with its own name.

    Args:
        model: A plain Keras model.
        interface: Its inputs.
        path: Where to write it.
        kernels: By name, kernels that become further inputs, of shape (units, inputs).

    Returns:
        The names of the outputs, in the model's order.
    """
    names: list[str] = []
    kernels = kernels or {}
    specs = [tf.TensorSpec(kernel.shape[::-1], "float32", name) for name, kernel in kernels.items()]

    def serve(*values):
        _keras_compat.name_after_layers(tf.compat.v1.get_default_graph())
        count = len(interface.inputs)
        given = dict(zip(kernels.values(), values[count:], strict=True))
        with _keras_compat.plain_argmax(), standing_in(given):
            outputs = interface.call(model, values[:count])
        names[:] = interface.file_names(list(outputs))
        return {
            name: tf.identity(value) for name, value in zip(names, outputs.values(), strict=True)
        }

    archive = _archive(model, set())
    archive.add_endpoint(ENDPOINT, serve, [*interface.inputs, *specs])
    with standing_in(dict.fromkeys(kernels.values())):
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
