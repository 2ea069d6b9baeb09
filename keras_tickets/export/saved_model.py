"""A Keras model as a TensorFlow SavedModel."""

import pathlib

import keras
import tensorflow as tf

from keras_tickets import _keras_compat
from keras_tickets.export.measure import Runner
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


def write(model: keras.Model, path: pathlib.Path, *, packed: bool = False) -> str:
    """Writes a plain Keras model to `path`, and returns in a sentence what that gains.

    The endpoint reads packed weights in place of the model's own, at each use, so that TensorFlow
    optimizes the same graph as without packing and the outputs are equal to the bit. That goes
    through `StatelessScope`, as in `kt.layers.Sparse`, so no layer has to know of it.
    """
    chosen = [v for v in model.variables if packed and gets_smaller(v.numpy())]
    weights = [PackedWeight(variable.numpy()) for variable in chosen]
    readers = [(v, weight.read) for v, weight in zip(chosen, weights, strict=True)]

    def serve(*inputs):
        with _keras_compat.reading_scope(readers) as scope:
            outputs = model(*inputs)
        for variable, value in scope.assigned:
            variable.assign(value)
        return outputs

    archive = keras.export.ExportArchive()
    archive.track(model)
    _track_variables(archive, model, {id(variable) for variable in chosen})
    for weight in weights:
        archive.track(weight)
    archive.add_variable_collection("packed", [v for w in weights for v in (w.values, w.bits)])
    archive.add_endpoint(ENDPOINT, serve, _keras_compat.input_signature(model))
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


def _track_variables(archive, model: keras.Model, replaced: set[int]) -> None:
    """Lists TensorFlow's variables: with Keras's own as well, each would be written twice."""
    for name in ("variables", "trainable_variables", "non_trainable_variables"):
        kept = [v.value for v in getattr(model, name) if id(v) not in replaced]
        archive.add_variable_collection(name, kept)


def load(path: pathlib.Path, signature) -> Runner:
    """The SavedModel's endpoint."""
    artifact = tf.saved_model.load(str(path))

    def run(inputs):
        return [output.numpy() for output in tf.nest.flatten(artifact.serve(*inputs))]

    return run
