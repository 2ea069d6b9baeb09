"""Teachers of distillation: models or files, run in inference mode and never changed."""

import hashlib
import os
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from keras_tickets import _keras_compat, masks
from keras_tickets._checks import check_one_of
from keras_tickets._files.home import expand_home

OUTPUTS = ("logits", "probabilities")
FINAL = "final_output"


def load_teachers(teacher) -> list[keras.layers.Layer]:
    """Loads the teachers as Keras layers.

    Args:
        teacher: A built Keras model, the path of a `.keras` file or of a SavedModel directory with
            the signature `serving_default`; or a list of these.

    Returns:
        A list of one or more.

    Raises:
        TypeError: It is none of these.
        ValueError: A file does not exist or is of another format.
    """
    if isinstance(teacher, list | tuple):
        if not teacher:
            raise ValueError("`teacher` must not be an empty list.")
        return [each for part in teacher for each in load_teachers(part)]
    if isinstance(teacher, keras.layers.Layer):
        if not teacher.built:
            raise ValueError(
                f"`teacher` {teacher.name!r} is not built: start it with keras.Input, or call it "
                "on a batch."
            )
        return [teacher]
    if not isinstance(teacher, str | os.PathLike):
        raise TypeError(
            "`teacher` must be a Keras model, the path of a .keras file or SavedModel directory, "
            f"or a list of these. Received: {teacher!r}"
        )
    path = expand_home(teacher)
    if not path.exists():
        raise ValueError(f"`teacher`: there is no file or directory {str(path)!r}")
    if path.suffix == ".keras":
        try:
            return [keras.models.load_model(path, compile=False)]
        except Exception as error:  # damaged archives raise whatever the parts of Keras raise
            raise ValueError(f"`teacher`: {str(path)!r} cannot be loaded: {error}") from error
    if not tf.saved_model.contains_saved_model(str(path)):
        raise ValueError(
            f"`teacher`: {str(path)!r} is neither a .keras file nor a SavedModel directory"
        )
    return [keras.layers.TFSMLayer(str(path), call_endpoint="serving_default")]


class Features:
    """A forward pass that returns the outputs of inner layers beside the model's own.

    Args:
        model: Keras model or layer.
        layer_names: Names of its layers.
    """

    def __init__(self, model: keras.layers.Layer, layer_names: Sequence[str]):
        self._model = model
        if layer_names:
            outputs = {name: model.get_layer(name).output for name in layer_names}
            self._model = keras.Model(model.inputs, {**outputs, FINAL: model.outputs[0]})

    def __call__(self, x, training: bool) -> dict[str, tf.Tensor]:
        return by_name(self._model(x, training=training))

    def try_on(self, x) -> dict[str, tf.Tensor]:
        """Calls the model on a batch, in inference.

        Raises:
            ValueError: It does not take the batch.
        """
        try:
            outputs = self._model(x, training=False)
        except Exception as error:
            shapes = keras.tree.map_structure(lambda part: tuple(part.shape), x)
            raise ValueError(
                f"The teacher {self._model.name!r} must take what the student takes. It fails on "
                f"inputs of shape {shapes}, with {type(error).__name__}."
            ) from error
        return by_name(outputs)


def by_name(outputs) -> dict[str, tf.Tensor]:
    """Returns `{FINAL: tensor}` for a model's single output; a dict by name is returned unchanged.

    Raises:
        ValueError: There are several outputs.
    """
    if isinstance(outputs, dict) and FINAL in outputs:
        return outputs
    flat = keras.tree.flatten(outputs)
    if len(flat) != 1:
        raise ValueError(
            f"Distillation is for models with one output. Received: a model with {len(flat)}"
        )
    return {FINAL: flat[0]}


class Teachers:
    """The outputs of one or several teachers for a batch.

    The logits of several teachers are averaged. At any temperature this gives the normalized
    geometric mean of their distributions.

    Args:
        models: Keras models or layers with the same inputs and output shape.
        teacher_outputs: `"logits"`, or `"probabilities"`, whose logarithms are taken.
        layer_names: Names of layers whose outputs are also returned; for a single teacher only.

    References:
        - [Hinton et al., 2015, "Distilling the knowledge in a neural network", section 1, on
          ensembles](https://arxiv.org/abs/1503.02531)
    """

    def __init__(
        self,
        models: list[keras.layers.Layer],
        teacher_outputs: str = "logits",
        layer_names: Sequence[str] = (),
    ):
        self.models = models
        self._outputs = check_one_of("teacher_outputs", teacher_outputs, OUTPUTS)
        self._features = [Features(model, layer_names) for model in models]

    def __call__(self, x) -> dict[str, tf.Tensor]:
        """Returns float32 logits as `FINAL` and layer outputs by name, without gradients."""
        each = [features(x, training=False) for features in self._features]
        logits = [self._logits(features[FINAL]) for features in each]
        mean = logits[0] if len(logits) == 1 else tf.add_n(logits) / len(logits)
        return {name: tf.stop_gradient(value) for name, value in {**each[0], FINAL: mean}.items()}

    def _logits(self, outputs):
        outputs = tf.cast(outputs, tf.float32)
        if self._outputs == "logits":
            return outputs
        return tf.math.log(tf.maximum(outputs, np.finfo(np.float32).tiny))

    def check_kind(self, x=None) -> None:
        """Checks that the outputs are of the stated kind.

        Args:
            x: A batch to try; without one, only the models' last layers are inspected.

        Raises:
            ValueError: They are not.
        """
        for model, features in zip(self.models, self._features, strict=True):
            found = ends_in_softmax(model)
            if x is not None:
                found = found or looks_like_probabilities(features.try_on(x)[FINAL])
            if found and self._outputs == "logits":
                raise ValueError(
                    f"The teacher {model.name!r} gives probabilities, not logits. Pass "
                    '`teacher_outputs="probabilities"`, or a model without its softmax.'
                )
            if not found and x is not None and self._outputs == "probabilities":
                raise ValueError(
                    f"The teacher {model.name!r} does not give probabilities: its outputs are "
                    'negative or do not sum to 1. Pass `teacher_outputs="logits"`.'
                )

    def digest(self) -> str:
        """SHA-256 of the teachers' weights and masks, as hexadecimal digits."""
        total = hashlib.sha256(self._outputs.encode())
        for model in self.models:
            for weight in _weights_and_masks(model):
                value = np.ascontiguousarray(weight.numpy())
                total.update(f"{value.dtype.name}{value.shape}".encode())
                total.update(value.tobytes())
        return total.hexdigest()


def _weights_and_masks(model):
    """In the order of `variables`: files of logits hold a digest of them in that order."""
    kept = [*model.weights, *(record.support for record in masks.masked_kernels(model))]
    ids = set(map(id, kept))
    return [variable for variable in model.variables if id(variable) in ids]


def ends_in_softmax(model: keras.layers.Layer) -> bool:
    """Whether the last layer of a functional or Sequential model is, or applies, a softmax."""
    layer = _keras_compat.output_layer(model)
    return (
        isinstance(layer, keras.layers.Softmax)
        or getattr(layer, "activation", None) is keras.activations.softmax
    )


def looks_like_probabilities(outputs) -> bool:
    """Whether all rows over the last axis are non-negative and sum to 1."""
    values = np.asarray(tf.cast(outputs, tf.float32))
    return bool((values >= 0).all() and np.allclose(values.sum(-1), 1.0, atol=1e-2))


def probe_batch(model: keras.Model):
    """A small batch on which to try a model; `None` if its input sizes are not fixed."""
    inputs = getattr(model, "inputs", None) or []
    kinds = [np.dtype(each.dtype).kind if each.dtype != "string" else "U" for each in inputs]
    if not inputs or any(None in each.shape[1:] for each in inputs) or not set(kinds) <= set("fiu"):
        return None
    generator = np.random.default_rng(0)

    def make(each):
        shape = (each.shape[0] or 4, *each.shape[1:])
        if np.dtype(each.dtype).kind == "f":
            return tf.constant(generator.standard_normal(shape), each.dtype)
        return tf.zeros(shape, each.dtype)

    structure = inputs[0] if isinstance(model, keras.Sequential) else model.input
    return keras.tree.map_structure(make, structure)
