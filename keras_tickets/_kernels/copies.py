"""Copies of layers, made from their configuration, with their complete state."""

import contextlib
import tempfile
import zlib
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from keras_tickets import _keras_compat
from keras_tickets._kernels.calls import fresh_call

_TENSORFLOW_OBJECTS = (
    tf.Variable,
    tf.Module,
    tf.lookup.experimental.MutableHashTable,
    tf.lookup.experimental.DenseHashTable,
)
_PLAIN = (bool, int, float, complex, str, bytes, type(None), np.generic, np.ndarray)


def copy_layer(
    layer: keras.layers.Layer,
    cls: type[keras.layers.Layer] | None = None,
    called_as: keras.layers.Layer | None = None,
) -> keras.layers.Layer:
    """Copies a layer or subclassed model, with its configuration and state.

    State includes what Keras writes into a file and what it does not: states of random generators
    and of recurrent layers, TensorFlow variables and tables, and numbers, strings, arrays and
    tensors that were set as attributes, also in dicts, lists and tuples.

    Args:
        layer: The layer. Operations that are not layers are returned themselves, and so is a layer
            without variables that cannot be recreated, such as one around a function.
        cls: Class of the copy; the layer's own by default.
        called_as: The layer whose calls show the arguments of this one, if only that layer calls
            it.

    Raises:
        ValueError: The configuration does not say how to make the layer.
    """
    if not isinstance(layer, keras.layers.Layer):
        return layer
    with _reasons(layer):
        try:
            copy = _made_again(layer, cls or type(layer), layer.get_config, called_as)
        except Exception:
            if layer.variables:
                raise
            return layer
        _copy_state(layer, copy)
    return copy


def fresh_layer(layer: keras.layers.Layer, seed: int) -> keras.layers.Layer:
    """Copies a layer or subclassed model, with newly drawn weights.

    Every initializer that takes a seed gets one that depends on `seed` and on its place in the
    layer's configuration.

    Args:
        layer: The layer. One without weights is copied as in `copy_layer`.
        seed: Non-negative integer.

    Raises:
        ValueError: The configuration does not say how to make the layer.
    """
    if not isinstance(layer, keras.layers.Layer) or not layer.weights:
        return copy_layer(layer)
    with _reasons(layer):
        return _made_again(
            layer, type(layer), lambda: _reseeded(layer.get_config(), seed, layer.name)
        )


@contextlib.contextmanager
def _reasons(layer):
    """Says which layer cannot be copied, why, and what to do."""
    try:
        yield
    except Exception as error:
        raise ValueError(
            f"`model` cannot be copied: layer {layer.name!r} ({type(layer).__name__}) cannot be "
            f"made again from its configuration ({error}). Implement `get_config`, or pass "
            "`in_place=True` to wrap the model's own layers."
        ) from error


def _reseeded(config, seed, place):
    """Replaces the seeds in the configurations nested in a configuration."""
    if isinstance(config, list | tuple):
        return type(config)(_reseeded(part, seed, f"{place}/{i}") for i, part in enumerate(config))
    if not isinstance(config, dict):
        return config
    config = {key: _reseeded(value, seed, f"{place}/{key}") for key, value in config.items()}
    inner = config.get("config")
    if "class_name" in config and isinstance(inner, dict) and "seed" in inner:
        entropy = [seed, zlib.crc32(place.encode())]
        inner["seed"] = int(np.random.SeedSequence(entropy).generate_state(1)[0] >> 1)
    return config


def _made_again(layer, cls, get_config: Callable[[], dict], called_as=None) -> keras.layers.Layer:
    """Makes a layer of class `cls` from a configuration, built like `layer`, with new weights."""
    with _keras_compat.trusted():
        again = cls.from_config(get_config())
    again.name = layer.name
    if again.dtype_policy.name != layer.dtype_policy.name:
        # The configuration of some layers of Keras, as SpatialDropout, has the dtype of weights.
        again.dtype_policy = layer.dtype_policy
    by_shape = _keras_compat.overrides_build(layer) and not isinstance(layer, keras.Model)
    if layer.built and not again.built and by_shape:
        again.build_from_config(layer.get_build_config())
    if len(again.variables) != len(layer.variables):
        call = fresh_call(called_as or layer)
        _keras_compat.build_by_call(again, *call.args, **call.kwargs)
        _build_what_was_not_called(layer, again)
    ours, theirs = _shapes(again), _shapes(layer)
    if ours != theirs:
        raise ValueError(f"it has variables of shapes {ours} then, not {theirs}")
    return again


def _build_what_was_not_called(source, target):
    """Builds layers that other calls than the one which is known have built in `source`."""
    parts = _keras_compat.all_layers(source), _keras_compat.all_layers(target)
    for theirs, ours in zip(*parts, strict=False):
        if theirs.built and not ours.built and _keras_compat.overrides_build(ours):
            ours.build_from_config(theirs.get_build_config())


def _shapes(layer):
    return [tuple(variable.shape) for variable in layer.variables]


# --- State --------------------------------------------------------------------------------------


def _copy_state(source, target):
    layers = _keras_compat.all_layers(source), _keras_compat.all_layers(target)
    if len(layers[0]) != len(layers[1]):
        raise ValueError(f"it has {len(layers[1])} layers inside it then, not {len(layers[0])}")
    for ours, theirs in zip(*layers, strict=True):
        if theirs.trainable != ours.trainable:
            theirs.trainable = ours.trainable
        _copy_saved_state(ours, theirs)
        _copy_plain_attributes(ours, theirs)
        _copy_untracked_variables(ours, theirs)
        _copy_tensorflow_objects(ours, theirs)
    for ours, theirs in zip(source.variables, target.variables, strict=True):
        theirs.assign(ours)
        if theirs.trainable != ours.trainable:
            theirs.trainable = ours.trainable
    _keras_compat.finalize_state(target)


class _Store(dict):
    """What a layer saves, as arrays, as a file would return them."""

    def __setitem__(self, name, value):
        if isinstance(value, keras.Variable) or tf.is_tensor(value):
            value = keras.ops.convert_to_numpy(value)
        super().__setitem__(name, np.array(value))


def _copy_saved_state(source, target):
    if type(source).save_own_variables is not keras.layers.Layer.save_own_variables:
        store = _Store()
        source.save_own_variables(store)
        target.load_own_variables(store)
    if hasattr(source, "save_assets"):
        with tempfile.TemporaryDirectory() as folder:
            source.save_assets(folder)
            target.load_assets(folder)


def _copy_untracked_variables(source, target):
    """Copies Keras variables that Keras does not list, as the states of recurrent layers."""
    ours, theirs = (_objects_in_attributes(layer, keras.Variable) for layer in (source, target))
    for name, variable in ours.items():
        if name in theirs:
            theirs[name].assign(variable)


def _copy_plain_attributes(source, target):
    """Copies numbers, strings, arrays and tensors that were set after the layer was made."""
    for name, value in _keras_compat.own_attributes(source).items():
        if _is_plain(value) and not _same(value, getattr(target, name, None)):
            setattr(target, name, _copied(value))


def _is_plain(value):
    if isinstance(value, dict | list | tuple):
        return all(map(_is_plain, _parts_of(value)))
    return isinstance(value, _PLAIN) or isinstance(value, tf.__internal__.EagerTensor)


def _parts_of(value):
    """What a dict, list or tuple holds, in its order; a dict's keys need not be sortable."""
    return value.values() if isinstance(value, dict) else value


def _copied(value):
    if isinstance(value, dict):
        return {key: _copied(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_copied(part) for part in value]
    return value.copy() if isinstance(value, np.ndarray) else value


def _same(value, other):
    if value is other:
        return True
    if type(value) is not type(other):
        return False
    if isinstance(value, dict) and list(value) != list(other):
        return False
    if isinstance(value, dict | list | tuple):
        return len(value) == len(other) and all(map(_same, _parts_of(value), _parts_of(other)))
    if isinstance(value, np.ndarray | tf.Tensor):
        return value.shape == other.shape and np.array_equal(value, other)
    return value == other


def _copy_tensorflow_objects(source, target):
    """Copies TensorFlow variables, tables and modules by TensorFlow's own checkpoints."""
    ours, theirs = _tensorflow_objects(source), _tensorflow_objects(target)
    if list(ours) != list(theirs):
        raise ValueError(f"it holds the TensorFlow objects {list(theirs)} then, not {list(ours)}")
    if ours:
        with tempfile.TemporaryDirectory() as folder:
            path = tf.train.Checkpoint(**ours).write(f"{folder}/state")
            tf.train.Checkpoint(**theirs).read(path)


def _tensorflow_objects(layer):
    found = _objects_in_attributes(layer, _TENSORFLOW_OBJECTS)
    return {k: each for k, each in found.items() if not isinstance(each, keras.layers.Layer)}


def _objects_in_attributes(layer, kind):
    return {
        f"{name}_{i}": part
        for name, value in sorted(_keras_compat.own_attributes(layer).items())
        for i, part in enumerate(_leaves(value))
        if isinstance(part, kind)
    }


def _leaves(value):
    if not isinstance(value, dict | list | tuple):
        return [value]
    return [leaf for part in _parts_of(value) for leaf in _leaves(part)]
