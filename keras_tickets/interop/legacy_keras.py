"""Models of Keras 2 (`tf_keras`) as Keras 3 models.

Keras 2 no longer changes, so its graph is read directly, private names included.
"""

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_tickets import _keras_compat

# Arguments of Keras 2 layers that Keras 3 need not know, because they change no output or, as
# `trainable`, are set afterwards.
_MEANINGLESS = {
    "batch_input_shape",
    "implementation",
    "input_length",
    "kernel_initializer",
    "key_shape",
    "query_shape",
    "rng_type",
    "trainable",
    "value_shape",
}
_INNER_LAYERS = ("layer", "backward_layer", "cell", "cells")
_OPERATIONS = {
    "__operators__.add": keras.ops.add,
    "math.add": keras.ops.add,
    "math.divide": keras.ops.divide,
    "math.multiply": keras.ops.multiply,
    "math.sigmoid": keras.ops.sigmoid,
    "math.subtract": keras.ops.subtract,
    "math.tanh": keras.ops.tanh,
    "math.truediv": keras.ops.true_divide,
    "nn.relu": keras.ops.relu,
    "nn.relu6": keras.ops.relu6,
    "nn.softmax": keras.ops.softmax,
}


class Translation:
    """Translates a Keras 2 model to Keras 3 layer by layer.

    Args:
        unwrap: Called with each Keras 2 layer; returns the layer to translate in its place.
        custom_objects: `{Keras 2 class name: Keras 3 layer class}` for classes that Keras 3 lacks.

    Attributes:
        layers: `(Keras 2 layer, its Keras 3 layer)`, each once, in the order of translation; nested
            models are among them.
    """

    def __init__(
        self,
        unwrap: Callable[[Any], Any] = lambda layer: layer,
        custom_objects: Mapping[str, type[keras.layers.Layer]] | None = None,
    ):
        self.unwrap = unwrap
        self.custom_objects = _checked(custom_objects or {})
        self.layers: list[tuple[Any, keras.layers.Layer]] = []
        self._made: dict[Any, Any] = {}

    def model(self, legacy) -> keras.Model:
        """Returns the Keras 3 model that computes the same function.

        Args:
            legacy: Built functional or Sequential model of Keras 2; weights are copied.

        Raises:
            ValueError: The model is subclassed or not built, or a layer cannot be translated; the
                message names it.
        """
        model = self._graph(legacy)
        for source, target in self.layers:
            if not _is_model(source):
                _copy_weights(source, target)
        return model

    def _graph(self, legacy):
        sequential = any(cls.__name__ == "Sequential" for cls in type(legacy).__mro__)
        if not sequential and not legacy._is_graph_network:
            raise ValueError(
                f"`model`: {legacy.name!r} ({type(legacy).__name__}) is a subclassed model, which "
                "does not say how it was made. Only functional and Sequential models can be "
                "converted."
            )
        if not legacy.inputs:
            raise ValueError(
                f"`model`: {legacy.name!r} is not built: its kernels do not exist yet. Give its "
                "first layer an input_shape, or call it on a batch."
            )
        values = {id(tensor): _input(tensor) for tensor in legacy.inputs}
        inputs = tf.nest.map_structure(lambda tensor: values[id(tensor)], legacy.input)
        name = _name(legacy)
        if sequential:
            layers = [self._layer(la) for la in legacy.layers if type(la).__name__ != "InputLayer"]
            if not layers:
                raise ValueError(f"`model`: {legacy.name!r} has no layers.")
            with _refusals_of(legacy):
                return keras.Sequential([inputs, *layers], name=name)
        for node in _nodes(legacy):
            self._call(node, values)
        outputs = tf.nest.map_structure(lambda tensor: values[id(tensor)], legacy.output)
        with _refusals_of(legacy):
            return keras.Model(inputs, outputs, name=name)

    def _call(self, node, values):
        args, kwargs = tf.nest.map_structure(
            lambda value: values.get(id(value), value), (node.call_args, dict(node.call_kwargs))
        )
        layer = self._layer(node.layer)
        if layer in _OPERATIONS.values():
            kwargs.pop("name", None)
            args, kwargs = [*args, *kwargs.values()], {}
        if isinstance(layer, keras.layers.RNN | keras.layers.Bidirectional) and args:
            sequence, *states = tf.nest.flatten(args[0])
            args = [sequence, *args[1:]]
            kwargs |= {"initial_state": states} if states else {}
        with _refusals_of(node.layer):
            outputs = layer(*args, **kwargs)
        for legacy, tensor in zip(
            tf.nest.flatten(node.outputs), tf.nest.flatten(outputs), strict=True
        ):
            values[id(legacy)] = tensor

    def _layer(self, legacy):
        legacy = self.unwrap(legacy)
        if id(legacy) not in self._made:
            if type(legacy).__name__ == "TFOpLambda":
                return self._operation(legacy)
            layer = self._graph(legacy) if _is_model(legacy) else self._plain(legacy)
            self._made[id(legacy)] = layer
            self.layers.append((legacy, layer))
        return self._made[id(legacy)]

    def _operation(self, legacy):
        function = legacy.get_config()["function"]
        if function not in _OPERATIONS:
            raise _refusal(legacy, f"operation {function!r} is not among {sorted(_OPERATIONS)}")
        return _OPERATIONS[function]

    def _plain(self, legacy):
        name = type(legacy).__name__
        own = type(legacy).__module__.partition(".")[0] not in ("tf_keras", "keras")
        with _refusals_of(legacy), keras.saving.custom_object_scope(self.custom_objects):
            config = {**self._config(name, legacy.get_config(), own), "name": _name(legacy)}
            return self._class(name, own).from_config(config)

    def _class(self, name, own):
        if name in self.custom_objects:
            return self.custom_objects[name]
        if own or name == "Lambda" or not hasattr(keras.layers, name):
            raise ValueError(
                "it has no such class; pass one of Keras 3 that does the same as "
                f"custom_objects={{{name!r}: ...}}"
            )
        return getattr(keras.layers, name)

    def _config(self, name, config, own=False):
        """The configuration of a layer of class `name`, in the terms of Keras 3."""
        accepted = _parameters(self._class(name, own)) - {"trainable"}
        translated = {}
        for key, value in config.items():
            if key in _INNER_LAYERS:
                translated[key] = self._inner(value)
            elif name == "LeakyReLU" and key == "alpha":
                translated["negative_slope"] = float(value)
            elif key in accepted:
                translated[key] = _plain_value(key, value)
            elif key not in _MEANINGLESS and not _is_neutral(key, value):
                raise ValueError(f"Keras 3 has no argument {key}={value!r}")
        for key in ("activation", "recurrent_activation"):
            _check_activation(key, translated.get(key))
        return translated

    def _inner(self, value):
        if isinstance(value, list | tuple):
            return [self._inner(one) for one in value]
        if not isinstance(value, dict) or "class_name" not in value:
            return value
        config = self._config(value["class_name"], value["config"], bool(value["registered_name"]))
        return keras.saving.serialize_keras_object(
            self._class(value["class_name"], bool(value["registered_name"])).from_config(config)
        )


def _is_model(legacy):
    return hasattr(legacy, "layers") and hasattr(legacy, "inputs")


def _nodes(legacy):
    for depth in sorted(legacy._nodes_by_depth, reverse=True):
        yield from (node for node in legacy._nodes_by_depth[depth] if not node.is_input)


def _input(tensor):
    shape, dtype = tuple(tensor.shape), tensor.dtype.name
    return keras.Input(batch_shape=shape, dtype=dtype, name=_name(tensor))


def _name(legacy):
    """The name of a layer, or of the layer that a tensor comes from, as Keras 3 allows it."""
    return legacy.name.partition(":")[0].replace("/", "_")


def _checked(custom_objects) -> dict[str, type[keras.layers.Layer]]:
    valid = isinstance(custom_objects, Mapping) and all(
        isinstance(name, str) and isinstance(cls, type) and issubclass(cls, keras.layers.Layer)
        for name, cls in custom_objects.items()
    )
    if not valid:
        raise TypeError(
            "`custom_objects` must be a dict {Keras 2 class name: Keras 3 layer class}. Received: "
            f"custom_objects={custom_objects!r}"
        )
    return dict(custom_objects)


def _refusal(legacy, reason):
    return ValueError(
        f"`model`: layer {legacy.name!r} ({type(legacy).__name__}) cannot be translated to Keras "
        f"3: {reason}"
    )


@contextlib.contextmanager
def _refusals_of(legacy) -> Iterator[None]:
    """Makes an error in a layer's Keras 3 form name the layer; it may come from the user's code."""
    try:
        yield
    except Exception as error:
        reason = str(error).rpartition("Exception encountered: ")[2]
        raise _refusal(legacy, reason) from error


def _parameters(cls):
    """Names of the arguments that a layer class takes, as far up as it passes them on."""
    names: set[str] = set()
    for ancestor in cls.__mro__:
        if "__init__" not in vars(ancestor):
            continue
        parameters = inspect.signature(ancestor.__init__).parameters.values()
        names.update(p.name for p in parameters)
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return names - {"self", "args", "kwargs"}


def _is_neutral(key, value):
    return value is None or value is False or (key == "groups" and value == 1)


def _plain_value(key, value):
    if key == "dtype" and isinstance(value, dict):
        return value["config"]["name"]
    if isinstance(value, np.ndarray | np.generic):
        return value.item() if value.ndim == 0 else value.tolist()
    if isinstance(value, list):
        value = list(value)
        return value[0] if key == "axis" and len(value) == 1 else value
    return value


def _check_activation(key, name):
    if not isinstance(name, str):
        return
    import tf_keras

    points = tf.linspace(-8.0, 8.0, 161)[None]
    theirs, ours = (np.asarray(k.activations.get(name)(points)) for k in (tf_keras, keras))
    if not np.allclose(theirs, ours, rtol=1e-4, atol=1e-5):
        raise ValueError(f"{key}={name!r} is another function there")


def _copy_weights(source, target):
    theirs, ours = source.weights, target.weights
    shapes = [tuple(v.shape) for v in theirs], [tuple(v.shape) for v in ours]
    if shapes[0] != shapes[1]:
        raise _refusal(source, f"its weights have shapes {shapes[0]}, there {shapes[1]}")
    for legacy, variable in zip(theirs, ours, strict=True):
        variable.assign(legacy.numpy())
    _keras_compat.finalize_state(target)
