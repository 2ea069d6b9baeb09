"""What an exported model does on random inputs: how far off, and how fast."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_tickets.export.report import Latency

BATCH_SIZES = (1, 32)
OPEN_DIMENSION = 32
WARM_UP_CALLS = 3
MIN_CALLS, MAX_CALLS, MAX_SECONDS = 10, 200, 0.5

# An exported model, read back: from the arguments of a call to its outputs, flattened.
Runner = Callable[[Sequence[Any]], list[np.ndarray]]


def measure(run: Runner, model: keras.Model, signature: Any) -> tuple[float, dict[int, Latency]]:
    """Compares an exported model with the model it was made from, and times it.

    Args:
        run: The exported model.
        model: The model it was made from.
        signature: The `tf.TensorSpec`s of the positional arguments of both.

    Returns:
        The largest absolute difference of their outputs on random inputs, and the latency of the
        exported model by batch size.
    """
    difference, latency = 0.0, {}
    for batch in _batch_sizes(model):
        inputs = random_inputs(signature, batch)
        outputs = run(inputs)
        difference = max(difference, _max_abs_difference(model(*inputs, training=False), outputs))
        latency[batch] = _latency(run, inputs)
    return difference, latency


def random_inputs(signature: Any, batch: int, seed: int = 0) -> Any:
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

    return tf.nest.map_structure(draw, signature)


def _batch_sizes(model: keras.Model) -> tuple[int, ...]:
    shapes = [tensor.shape for tensor in getattr(model, "inputs", None) or [] if tensor.shape]
    return BATCH_SIZES if not shapes or shapes[0][0] is None else (shapes[0][0],)


def _max_abs_difference(expected: Any, actual: list[np.ndarray]) -> float:
    pairs = zip(tf.nest.flatten(expected), actual, strict=True)
    return max(
        float(tf.reduce_max(tf.abs(tf.cast(a, tf.float32) - tf.cast(b, tf.float32))))
        for a, b in pairs
    )


def _latency(run: Runner, inputs: Sequence[Any]) -> Latency:
    def call() -> float:
        start = time.perf_counter()
        run(inputs)
        return 1e3 * (time.perf_counter() - start)

    for _ in range(WARM_UP_CALLS):
        call()
    times, until = [], time.perf_counter() + MAX_SECONDS
    while len(times) < MIN_CALLS or (len(times) < MAX_CALLS and time.perf_counter() < until):
        times.append(call())
    return Latency(float(np.median(times)), min(times), max(times))
