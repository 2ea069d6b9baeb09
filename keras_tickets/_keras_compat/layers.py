"""Layers: what is inside them, how they are called and built."""

import contextlib
import functools
import inspect
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
import tensorflow as tf
from keras.src import backend, utils
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


@contextlib.contextmanager
def computing_in(dtype: str, layers: Iterable[keras.layers.Layer]) -> Iterator[None]:
    """Makes layers compute in another dtype; their variables stay as they are."""
    policies = [(layer, layer.dtype_policy) for layer in layers]
    for layer, policy in policies:
        layer._dtype_policy = keras.DTypePolicy(dtype)
        layer._dtype_policy._variable_dtype = policy.variable_dtype
    try:
        yield
    finally:
        for layer, policy in policies:
            layer._dtype_policy = policy


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
    # A `tf.function` would keep the weights that are not there yet as constants.
    with inlined_functions(layer):
        backend.compute_output_spec(layer, *args, **kwargs)


def overrides_build(layer: keras.layers.Layer) -> bool:
    """Whether a layer makes its weights in a `build` of its own, from shapes alone."""
    return not utils.is_default(layer.build)


def is_built(layer: keras.layers.Layer) -> bool:
    """Whether a layer and all that is inside it have their weights."""
    return all(part.built for part in all_layers(layer))


def call_signature(layer: keras.layers.Layer) -> inspect.Signature:
    """The signature of a layer's `call`, or of that of the layer which it wraps."""
    return layer._call_signature


def last_symbolic_call(layer: keras.layers.Layer) -> tuple[tuple, dict] | None:
    """Arguments of the last call of a layer on symbolic tensors; `None` where there was none."""
    if not layer._inbound_nodes:
        return None
    arguments = layer._inbound_nodes[-1].arguments
    kwargs = {name: value for name, value in arguments.kwargs.items() if name != "training"}
    return tuple(arguments.args), kwargs


def input_like(
    tensor: keras.KerasTensor,
    dtype: str | None = None,
    name: str | None = None,
    any_batch_size: bool = True,
) -> keras.KerasTensor:
    """A new `keras.Input` for tensors such as this one."""
    history = getattr(tensor, "_keras_history", None)
    operation: Any = getattr(history, "operation", None)
    is_input = isinstance(operation, keras.layers.InputLayer)
    shape = tensor.shape
    return keras.Input(
        batch_shape=(None, *shape[1:]) if shape and any_batch_size else shape,
        dtype=dtype or tensor.dtype,
        sparse=tensor.sparse or None,
        ragged=tensor.ragged or None,
        name=name or (operation.name if is_input else None),
        optional=is_input and operation.optional,
    )


def own_attributes(layer: keras.layers.Layer) -> dict[str, Any]:
    """The attributes of a layer or model but those that Keras and TensorFlow set on every one."""
    kept = _base_attributes()
    return {
        name: value
        for name, value in vars(layer).items()
        if name not in kept and not name.startswith("_self_")
    }


@functools.cache
def _base_attributes():
    model = keras.Model(name="any")
    model.compile("sgd", "mse")
    return {*vars(keras.layers.Layer(name="any")), *vars(model), "stop_training"}


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


# --- Methods that are `tf.function`s --------------------------------------------------------------

_FUNCTION = tf.types.experimental.PolymorphicFunction


def inline_functions(layer: keras.layers.Layer) -> list[tuple[keras.layers.Layer, str, Any]]:
    """Makes methods of a layer, and of those inside it, that are `tf.function`s ordinary ones.

    A `tf.function` goes on with the values of variables that it was first traced with, whatever a
    scope puts in their place. What it computes becomes a part of what calls it.

    Args:
        layer: The layer.

    Returns:
        `(layer, name of the method, what the layer itself had by that name)`, `None` where it was
        its class that had it.
    """
    replaced = []
    for part in all_layers(layer):
        own = {name: each for name, each in vars(part).items() if isinstance(each, _FUNCTION)}
        of_class = {
            name: types.MethodType(function, part)
            for name, function in _functions_of_class(type(part)).items()
            if name not in vars(part)
        }
        for name, function in own.items():
            replaced.append((part, name, function))
            vars(part)[name] = _converted(function.python_function)
        for name, method in of_class.items():
            replaced.append((part, name, None))
            vars(part)[name] = _converted(method)
    return replaced


@contextlib.contextmanager
def inlined_functions(layer: keras.layers.Layer | None) -> Iterator[None]:
    """As `inline_functions`, until the context ends."""
    replaced = inline_functions(layer) if layer is not None else []
    try:
        yield
    finally:
        for part, name, before in replaced:
            if before is None:
                del vars(part)[name]
            else:
                vars(part)[name] = before


def _functions_of_class(cls: type) -> dict[str, Callable]:
    """`{name: the Python function}` of the methods that are `tf.function`s."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        found |= vars(base)
    return {name: f.python_function for name, f in found.items() if isinstance(f, _FUNCTION)}


def _converted(function):
    """What AutoGraph makes of a function or method, which a `tf.function` runs."""
    owner = getattr(function, "__self__", None)
    try:
        converted = tf.autograph.to_graph(getattr(function, "__func__", function))
    except Exception:  # its source is not known
        return function
    return converted if owner is None else types.MethodType(converted, owner)
