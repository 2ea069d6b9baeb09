"""Calibration data: what a user gives, as checked examples for each input of a model."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_tickets.export.interface import Interface


def check_wanted(
    calibration: Any, options: Mapping[str, Any], format: str, input_shape: Any
) -> None:
    """Checks that calibration data, if there are any, go with the other arguments of `kt.export`.

    Raises:
        ValueError: They do not.
    """
    if calibration is None:
        return
    if options.get("quantize") != "int8":
        raise ValueError(
            "`calibration` must be None unless format='litert' and quantize='int8'. "
            f"Received: format={format!r}, quantize={options.get('quantize')!r}"
        )
    for name, value, why in (
        ("target", options.get("target"), "the table is of kernels alone in int8"),
        ("input_shape", input_shape, "the data have the sizes"),
    ):
        if value is not None:
            raise ValueError(
                f"`{name}` must be None with calibration data: {why}. Received: {name}={value!r}"
            )


def read_examples(calibration: Any, interface: Interface) -> list[np.ndarray]:
    """Reads calibration data.

    Args:
        calibration: As in `kt.export`.
        interface: The inputs of the model.

    Returns:
        An array for each input, in its dtype, examples first.

    Raises:
        TypeError: The data are neither arrays nor an iterable of batches.
        ValueError: They do not fit the inputs, are not finite, do not end, or there are none.
    """
    batches = [_checked(batch, interface) for batch in _batches(calibration)]
    if not batches:
        raise ValueError("`calibration` must hold at least one example. Received: no batch")
    found = []
    for spec, parts in zip(interface.inputs, zip(*batches, strict=True), strict=True):
        if len({part.shape[1:] for part in parts}) > 1:
            sizes = sorted({part.shape[1:] for part in parts})
            raise ValueError(
                "`calibration` must hold examples of one size. "
                f"Received: {spec.name} of shapes {', '.join(map(str, sizes))} without the batch"
            )
        found.append(np.concatenate(parts))
    return found


def _batches(calibration: Any) -> Iterator[Any]:
    if isinstance(calibration, Mapping | list | tuple) or hasattr(calibration, "__array__"):
        yield calibration
        return
    if isinstance(calibration, str | bytes) or not isinstance(calibration, Iterable):
        raise TypeError(
            "`calibration` must be an array, a list or dict of arrays, a tf.data.Dataset or an "
            f"iterable of batches. Received: an object of type {type(calibration).__name__}"
        )
    if isinstance(calibration, tf.data.Dataset) and bool(
        calibration.cardinality() == tf.data.INFINITE_CARDINALITY
    ):
        raise ValueError("`calibration` must end: pass `dataset.take(…)`. Received: endless data")
    try:
        for batch in calibration:
            yield batch[0] if isinstance(batch, tuple) and batch else batch
    except Exception as error:
        raise ValueError(
            f"`calibration` must give batches. Received: {type(error).__name__}: {error}"
        ) from error


def _checked(batch: Any, interface: Interface) -> list[np.ndarray]:
    given = _in_order(batch, interface)
    fits = len(given) == len(interface.inputs) and all(map(_fits, given, interface.inputs))
    if not fits or len({len(values) for values in given}) > 1:
        wanted = ", ".join(f"{each.name}: {_described(each)}" for each in interface.inputs)
        raise ValueError(
            f"`calibration` must hold arrays as the model takes them, batch first ({wanted}), by "
            f"the names of the inputs or in their order. Received: {_received(batch)}"
        )
    arrays = []
    for spec, values in zip(interface.inputs, given, strict=True):
        with np.errstate(over="ignore"):
            array = values.astype(spec.dtype.as_numpy_dtype)
        kept = np.isfinite(array) if spec.dtype.is_floating else array == values
        if not kept.all():
            raise ValueError(
                f"`calibration` must hold finite values that {spec.dtype.name} has. Received: "
                f"{spec.name} with {np.count_nonzero(~kept)} others"
            )
        arrays.append(array)
    return arrays


def _in_order(batch: Any, interface: Interface) -> list[np.ndarray]:
    """The arrays in the order of the inputs; none if they do not match them."""
    names = [spec.name for spec in interface.inputs]
    arguments = interface.arguments
    if isinstance(batch, Mapping) and set(batch) == set(names):
        found = [batch[name] for name in names]
    elif isinstance(batch, list | tuple) and len(batch) == len(names):
        found = keras.tree.flatten(batch) if len(names) > 1 else list(batch)
    else:
        try:
            structure = arguments[0] if len(arguments) == 1 else arguments
            keras.tree.assert_same_structure(structure, batch)
        except (TypeError, ValueError):
            return []
        found = keras.tree.flatten(batch)
    try:
        return [np.asarray(values) for values in found]
    except (TypeError, ValueError):
        return []


def _fits(values: np.ndarray, spec: tf.TensorSpec) -> bool:
    """Whether an array can be values of an input, in whole batches."""
    if values.ndim != len(spec.shape) or not values.size:
        return False
    batch, *sizes = spec.shape
    known = zip(values.shape[1:], sizes, strict=True)
    if len(values) % (batch or 1) or any(size not in (None, n) for n, size in known):
        return False
    return values.dtype.kind in "biu" or (values.dtype.kind == "f" and spec.dtype.is_floating)


def _described(spec: tf.TensorSpec) -> str:
    return f"{spec.dtype.name} of shape {tuple(spec.shape)}"


def _received(batch: Any) -> str:
    if isinstance(batch, Mapping):
        return "{" + ", ".join(f"{k!r}: {_received(v)}" for k, v in batch.items()) + "}"
    if isinstance(batch, Sequence) and not isinstance(batch, str | bytes):
        return f"[{', '.join(_received(each) for each in batch[:8])}]"
    if hasattr(batch, "shape") and hasattr(batch, "dtype"):
        return f"{getattr(batch.dtype, 'name', batch.dtype)} of shape {tuple(batch.shape)}"
    return f"an object of type {type(batch).__name__}"
