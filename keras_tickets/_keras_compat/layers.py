"""Layers: what is inside them, how they are called and built."""

import keras
from keras.src import backend
from keras.src.utils.naming import to_snake_case


def sublayers(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """The direct sublayers of a layer or model, in order, those in lists and dicts included."""
    return list(layer._flatten_layers(include_self=False, recursive=False))


def automatic_name(layer: keras.layers.Layer) -> str | None:
    """The layer's name without its number where Keras chose the name, otherwise `None`."""
    base, _, number = layer.name.rpartition("_")
    name = base if number.isdigit() else layer.name
    class_name = to_snake_case(type(layer).__name__)
    return name if name in {class_name, f"forward_{class_name}", f"backward_{class_name}"} else None


def all_layers(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """A layer or model and all that is inside it."""
    return list(layer._flatten_layers(include_self=True, recursive=True))


def adopt_call_of(wrapper: keras.layers.Layer, layer: keras.layers.Layer) -> None:
    """Makes `wrapper` take the same call arguments, in the same way, as `layer`."""
    wrapper._call_signature = layer._call_signature
    wrapper.call_signature_parameters = layer.call_signature_parameters
    wrapper._call_has_training_arg = layer._call_has_training_arg
    wrapper._call_has_mask_arg = layer._call_has_mask_arg
    wrapper._call_has_context_arg = layer._call_has_context_arg
    wrapper._convert_input_args = layer._convert_input_args
    wrapper._allow_non_tensor_positional_args = layer._allow_non_tensor_positional_args
    wrapper.autocast = layer.autocast


def build_by_call(layer: keras.layers.Layer, *args, **kwargs) -> None:
    """Builds `layer` by calling it on symbolic stand-ins for the given arguments."""
    backend.compute_output_spec(layer, *args, **kwargs)


def symbolic_call(layer: keras.layers.Layer, *args, **kwargs):
    """The output specs of `layer.call`, found without computing anything."""
    return backend.compute_output_spec(layer.call, *args, **kwargs)


def finalize_state(layer: keras.layers.Layer) -> None:
    """Makes layers that derive values from their variables, as `Normalization`, do so again."""
    for part in all_layers(layer):
        if hasattr(part, "finalize_state") and part.built:
            part.finalize_state()


def is_initialized(variable: keras.Variable) -> bool:
    """Whether the variable holds a value; not so while a model is only traced."""
    return variable._value is not None
