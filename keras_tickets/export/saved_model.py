"""A Keras model as a TensorFlow SavedModel, and what that serves."""

import pathlib
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_tickets.export.report import Latency

BATCH_SIZES = (1, 32)
OPEN_DIMENSION = 32
WARM_UP_CALLS = 3
MIN_CALLS, MAX_CALLS, MAX_SECONDS = 10, 200, 0.5


def write(model: keras.Model, path: pathlib.Path) -> None:
    """Writes the SavedModel of a plain Keras model to `path`."""
    model.export(str(path), format="tf_saved_model", verbose=False)


def measure(path: pathlib.Path, model: keras.Model) -> tuple[float, dict[int, Latency]]:
    """Loads a SavedModel and compares it with the model it was made from.

    Returns:
        The largest absolute difference of their outputs on random inputs, and the latency of the
        SavedModel by batch size.
    """
    artifact = tf.saved_model.load(str(path))
    specs = artifact.serve.concrete_functions[0].structured_input_signature[0]
    difference, latency = 0.0, {}
    for batch in _batch_sizes(model):
        inputs = random_inputs(specs, batch)
        served = artifact.serve(*inputs)
        difference = max(difference, _max_abs_difference(model(*inputs, training=False), served))
        latency[batch] = _latency(artifact.serve, inputs)
    return difference, latency


def random_inputs(specs: Any, batch: int, seed: int = 0) -> Any:
    """Random tensors for a structure of `tf.TensorSpec`s.

    Floats are standard normal, integers and booleans 0 or 1 (valid in any vocabulary), strings
    empty. Dimensions that the model leaves open are 32, the first of them `batch`.
    """
    random = np.random.default_rng(seed)

    def draw(spec: tf.TensorSpec) -> tf.Tensor:
        shape = [OPEN_DIMENSION if size is None else size for size in spec.shape]
        if shape and spec.shape[0] is None:
            shape[0] = batch
        if spec.dtype.is_floating:
            return tf.cast(random.standard_normal(shape), spec.dtype)
        if spec.dtype == tf.string:
            return tf.fill(shape, "")
        return tf.cast(random.integers(0, 2, shape), spec.dtype)

    return tf.nest.map_structure(draw, specs)


def _batch_sizes(model: keras.Model) -> tuple[int, ...]:
    shapes = [tensor.shape for tensor in getattr(model, "inputs", None) or [] if tensor.shape]
    return BATCH_SIZES if not shapes or shapes[0][0] is None else (shapes[0][0],)


def _max_abs_difference(expected: Any, actual: Any) -> float:
    pairs = zip(tf.nest.flatten(expected), tf.nest.flatten(actual), strict=True)
    return max(
        float(tf.reduce_max(tf.abs(tf.cast(a, tf.float32) - tf.cast(b, tf.float32))))
        for a, b in pairs
    )


def _latency(serve: Callable, inputs: Any) -> Latency:
    def call() -> float:
        start = time.perf_counter()
        for output in tf.nest.flatten(serve(*inputs)):
            output.numpy()
        return 1e3 * (time.perf_counter() - start)

    for _ in range(WARM_UP_CALLS):
        call()
    times, until = [], time.perf_counter() + MAX_SECONDS
    while len(times) < MIN_CALLS or (len(times) < MAX_CALLS and time.perf_counter() < until):
        times.append(call())
    return Latency(float(np.median(times)), min(times), max(times))
