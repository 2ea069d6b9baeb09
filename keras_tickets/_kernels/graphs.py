"""Graphs of models with other layers in them, and copies of layers."""

import zlib
from collections.abc import Callable

import keras
import numpy as np

from keras_tickets import _keras_compat


def graph_of(
    model: keras.Model,
    convert: Callable[[keras.layers.Layer], keras.layers.Layer],
    convert_root: Callable[[keras.Model], keras.layers.Layer] | None = None,
):
    """The graph of a model, with other layers in place of its own.

    Args:
        model: Built model. A subclassed one is a graph of a single layer.
        convert: Called once with each layer or operation; returns what stands in its place.
        convert_root: Called instead with a model that is a single layer.

    Returns:
        The symbolic inputs and outputs, in the model's structure.

    Raises:
        ValueError: A subclassed model cannot be called on inputs of the shapes it was built with.
    """
    is_graph = isinstance(model, keras.Sequential | _keras_compat.Functional)
    if is_graph and not _keras_compat.overrides_call(model):
        return _keras_compat.rebuild(model, convert)
    layer = (convert_root or convert)(model)
    args, kwargs = _inputs_of(model)
    outputs = layer(*args, **kwargs)
    return (args[0] if args else kwargs), outputs


def _inputs_of(model):
    """Keras inputs for a subclassed model: those it was built with, of any batch size.

    A model keeps their shapes but not their dtypes, so these are found by trying.
    """
    config = model.get_build_config() or {}
    failure = None
    for dtype in ("float32", "int32"):

        def make(shape, dtype=dtype):
            return keras.Input(batch_shape=(None, *shape[1:]), dtype=dtype)

        args, kwargs = [], {}
        if "input_shape" in config:
            args = [_keras_compat.map_shapes(make, config["input_shape"])]
        for name, shape in config.get("shapes_dict", {}).items():
            kwargs[name.removesuffix("_shape")] = _keras_compat.map_shapes(make, shape)
        try:
            _keras_compat.symbolic_call(model, *args, **kwargs)
        except (TypeError, ValueError) as error:
            failure = failure or error
        else:
            return args, kwargs
    raise ValueError(
        f"Model {model.name!r} cannot be called on inputs of the shapes it was built with: "
        f"{config}. Build the graph yourself: `kt.SparseModel(inputs, outputs)`."
    ) from failure


def copy_layer(
    layer: keras.layers.Layer, cls: type[keras.layers.Layer] | None = None
) -> keras.layers.Layer:
    """A layer or subclassed model again, of the same configuration and values.

    Args:
        layer: The layer. Other operations, and layers with a vocabulary, are returned as they are.
        cls: Class of the copy; the layer's own by default.

    Raises:
        ValueError: The configuration does not say how to make the layer.
    """
    if not isinstance(layer, keras.layers.Layer) or hasattr(layer, "save_assets"):
        return layer
    copy = _made_again(layer, cls or type(layer), layer.get_config)
    for target, source in zip(copy.variables, layer.variables, strict=True):
        target.assign(source)
    _keras_compat.finalize_state(copy)
    return copy


def fresh_layer(layer: keras.layers.Layer, seed: int) -> keras.layers.Layer:
    """A layer or subclassed model of the same configuration, with newly drawn weights.

    Every initializer that takes a seed gets one that depends on `seed` and on its place in the
    layer's configuration.

    Args:
        layer: The layer. Other operations, and layers with a vocabulary, are returned as they are.
        seed: Non-negative integer.

    Raises:
        ValueError: The configuration does not say how to make the layer.
    """
    if not isinstance(layer, keras.layers.Layer) or hasattr(layer, "save_assets"):
        return layer
    return _made_again(layer, type(layer), lambda: _reseeded(layer.get_config(), seed, layer.name))


def _reseeded(config, seed, place):
    """A configuration with other seeds in the configurations inside it."""
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


def _made_again(layer, cls, get_config):
    """A layer of class `cls` from a configuration, built as `layer` is, with weights of its own."""
    try:
        again = cls.from_config(get_config())
        if isinstance(layer, keras.Model) and not again.built:
            args, kwargs = _inputs_of(layer)
            _keras_compat.build_by_call(again, *args, **kwargs)
        elif layer.built and not again.built:
            again.build_from_config(layer.get_build_config())
        if len(again.variables) != len(layer.variables):
            raise ValueError(
                f"it has {len(again.variables)} variables then, not {len(layer.variables)}"
            )
    except (NotImplementedError, TypeError, ValueError) as error:
        raise ValueError(
            f"`model` cannot be copied: layer {layer.name!r} ({type(layer).__name__}) cannot be "
            f"made again from its configuration ({error}). Implement `get_config`, or pass "
            "`in_place=True` to wrap the model's own layers."
        ) from error
    return again
