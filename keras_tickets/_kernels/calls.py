"""The call arguments of a layer or model, as symbolic tensors."""

import inspect
from typing import Any

import keras
import tensorflow as tf

from keras_tickets import _keras_compat

# Tried in this order if a model keeps the shapes of its inputs but not their dtypes.
_DTYPES = ("float32", "int32", "string")


def call_arguments(layer: keras.layers.Layer) -> tuple[tuple, dict[str, Any]]:
    """Finds the call arguments of a layer or model.

    They come from its last call on symbolic tensors; if there was none, from the inputs of its
    graph; or else from the shapes that it was built with.

    Args:
        layer: Built layer or model. One that stands for another is called as that one is.

    Returns:
        Positional and named arguments, with Keras tensors in place of tensors.

    Raises:
        ValueError: The arguments are not known.
    """
    layer = _keras_compat.called_layer(layer)
    if (call := _keras_compat.last_symbolic_call(layer)) is not None:
        return call
    if (inputs := _graph_inputs(layer)) is not None:
        return (inputs,), {}
    return _arguments_by_shape(layer)


def fresh_call(layer: keras.layers.Layer) -> inspect.BoundArguments:
    """Makes call arguments as `call_arguments` finds them, from new `keras.Input`s.

    Args:
        layer: Built layer or model.

    Returns:
        The arguments by name. If several hold tensors, their inputs have the names of the
        arguments.

    Raises:
        ValueError: The arguments are not known.
    """
    call = last_call(layer)
    several = len(tensor_arguments(call)) > 1
    for name, value in call.arguments.items():
        new_name = name if several and isinstance(value, keras.KerasTensor) else None
        call.arguments[name] = keras.tree.map_structure(
            lambda x, new_name=new_name: (
                _keras_compat.input_like(x, name=new_name)
                if isinstance(x, keras.KerasTensor)
                else x
            ),
            value,
        )
    return call


def last_call(layer: keras.layers.Layer) -> inspect.BoundArguments:
    """The arguments of `call_arguments` by name."""
    args, kwargs = call_arguments(layer)
    return _keras_compat.call_signature(layer).bind(*args, **kwargs)


def tensor_arguments(call: inspect.BoundArguments) -> dict[str, Any]:
    """The arguments of a call that hold symbolic tensors, by name."""
    return {
        name: value
        for name, value in call.arguments.items()
        if any(isinstance(part, keras.KerasTensor) for part in keras.tree.flatten(value))
    }


def _graph_inputs(layer):
    if isinstance(layer, _keras_compat.Functional):
        return layer.input
    if isinstance(layer, keras.Sequential) and layer.built and layer.inputs:
        return layer.inputs[0]
    return None


def _arguments_by_shape(layer):
    config = layer.get_build_config() or {}
    failure = None
    for dtype in _DTYPES:
        args, kwargs = _arguments_of_dtype(config, dtype)
        try:
            if not (args or kwargs):
                raise ValueError("the shapes of its inputs are not known")
            dtypes = _used_dtypes(layer, args, kwargs)
        except Exception as error:
            failure = failure or error
        else:
            return _with_dtypes(args, dtypes), _with_dtypes(kwargs, dtypes)
    raise ValueError(
        f"What {layer.name!r} ({type(layer).__name__}) is called with is not known: Keras keeps "
        f"only {config}, and a call on that fails ({failure}). Call it once on symbolic inputs "
        "before, with all its arguments: `model(keras.Input((8,), dtype='int32'), mask=…)`."
    ) from failure


def _with_dtypes(arguments, dtypes):
    return keras.tree.map_structure(
        lambda x: _keras_compat.input_like(x, dtype=dtypes[id(x)]) if id(x) in dtypes else x,
        arguments,
    )


def _arguments_of_dtype(config, dtype):
    args, kwargs = [], {}
    if "input_shape" in config:
        args.append(_inputs_of_shapes(config["input_shape"], dtype))
    for name, shapes in config.get("shapes_dict", {}).items():
        name = name.removesuffix("_shape")
        kwargs[name] = _inputs_of_shapes(shapes, dtype, name)
    return args, kwargs


def _inputs_of_shapes(shapes, dtype, name=None):
    if isinstance(shapes, dict):
        return {key: _inputs_of_shapes(shape, dtype, key) for key, shape in shapes.items()}
    if any(isinstance(part, list | tuple | dict) for part in shapes):
        return [_inputs_of_shapes(shape, dtype) for shape in shapes]
    return keras.Input(batch_shape=(None, *shapes[1:]), dtype=dtype, name=name)


def _used_dtypes(layer, args, kwargs) -> dict[int, str]:
    """`{id: dtype}` of float inputs that a layer uses only in another dtype, as token ids.

    Raises:
        Exception: Whatever the layer raises if it cannot be called like this.
    """
    inputs = [x for x in keras.tree.flatten((args, kwargs)) if isinstance(x, keras.KerasTensor)]
    stand_ins = []

    def run(*tensors):
        stand_ins.extend(tensors)
        given = dict(zip(map(id, inputs), tensors, strict=True))
        filled = keras.tree.map_structure(lambda x: given.get(id(x), x), (args, kwargs))
        return layer(*filled[0], **filled[1])

    specs = [tf.TensorSpec(x.shape, x.dtype) for x in inputs]
    with keras.StatelessScope():
        graph = tf.function(run, autograph=False).get_concrete_function(*specs).graph
    used = {
        id(x): _dtypes_of(tensor)
        for x, tensor in zip(inputs, stand_ins, strict=True)
        if tensor.dtype.is_floating
    }
    del graph  # Tensors do not keep it.
    return {key: dtypes.pop() for key, dtypes in used.items() if len(dtypes) == 1}


def _dtypes_of(tensor) -> set[str]:
    """The dtypes to which a float tensor is cast before use; its own if it is not cast."""
    found = set()
    for operation in tensor.consumers():
        if operation.type == "Cast" and operation.outputs[0].dtype.is_floating:
            found |= _dtypes_of(operation.outputs[0])
        elif operation.type == "Cast":
            found.add(operation.outputs[0].dtype.name)
        elif operation.type not in ("Equal", "NotEqual", "Shape"):
            found.add("float32")
    return found
