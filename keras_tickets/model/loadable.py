"""Checks that a saved model could be loaded again, before its file is written."""

import json

import keras

from keras_tickets import _keras_compat
from keras_tickets._kernels.paths import stable_name


def check_loadable(model: keras.Model) -> None:
    """Rebuilds a model from its configuration, as `keras.models.load_model` does, and compares.

    Nothing is computed, and no weights are created if that can be avoided. A configuration that has
    passed once is not tried again. Classes that are not registered are no error: `load_model` can
    be told of them.

    Args:
        model: The model that is about to be saved.

    Raises:
        ValueError: The model cannot be rebuilt, or the result differs from it.
    """
    serialized = {**keras.saving.serialize_keras_object(model), "compile_config": None}
    text = json.dumps(serialized)
    if getattr(model, "_loadable", None) == text:
        return
    try:
        again = _made_again(text, _classes(model))
    except Exception as error:
        if "Could not locate" in str(error):
            return
        raise ValueError(_message(model, f"it fails with: {error}")) from error
    for ours, theirs in zip(_shapes(model), _shapes(again), strict=False):
        if ours != theirs:
            raise ValueError(_message(model, f"it has {theirs} for {ours}"))
    if len(_shapes(again)) != len(_shapes(model)):
        raise ValueError(_message(model, "it has a different number of variables"))
    model._loadable = text


def _made_again(text, classes):
    try:
        return _keras_compat.made_without_weights(json.loads(text), classes)
    except Exception:
        # Some layers make variables from values, such as the states of stateful recurrent layers.
        return keras.saving.deserialize_keras_object(
            json.loads(text), custom_objects=classes, safe_mode=False
        )


def _classes(model):
    """The classes of layers that are not Keras's own: `Add` is the name of an operation too."""
    found = {type(part) for part in _keras_compat.all_layers(model)}
    return {each.__name__: each for each in found if each.__module__.partition(".")[0] != "keras"}


def _shapes(model):
    return [(stable_name(variable), tuple(variable.shape)) for variable in model.variables]


def _message(model, why):
    changed = [
        layer.name
        for layer in _keras_compat.all_layers(model)
        if getattr(layer, "lora_enabled", False) or layer.quantization_mode
    ]
    advice = (
        "Its layers need a `get_config` that returns all their constructor arguments, and a "
        "`build` that makes all their weights, even those that only some calls use."
    )
    if changed:
        advice = (
            f"Layers {sorted(set(changed))} were quantized or given low-rank factors after they "
            "were masked; do that to `kt.strip(model)` instead."
        )
    return (
        f"Model {model.name!r} is not saved, because its file could not be loaded: a model rebuilt "
        f"from its configuration would not be the same ({why}). {advice}"
    )
