"""Scores by which `kt.prune` ranks weights. Those with the highest scores are kept."""

import inspect
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_tickets import masks
from keras_tickets._checks import check_model, check_number, check_seed
from keras_tickets._forward.loss import check_loss, mean_loss
from keras_tickets._forward.passes import masked_values, ones_that_fit, run_with
from keras_tickets._forward.second_derivatives import second_gradient, twice_differentiable
from keras_tickets._kernels.find import Filters, Kernel, find_kernels
from keras_tickets._randomness import random_scores

__all__ = ["SCORES", "grasp", "magnitude", "random", "snip", "synflow", "takes"]

Scores = dict[str, np.ndarray]
# What a score may need besides the model. The caller of `kt.prune` supplies it.
GIVEN = ("x", "y", "loss", "seed")


def takes(score: Callable[..., Scores]) -> tuple[str, ...]:
    """Says which arguments besides the model a score needs.

    Args:
        score: One of `SCORES`, or a function with the same kinds of arguments.

    Returns:
        Those of "x", "y", "loss" and "seed" that are among its arguments.

    Example:

    ```python
    import keras_tickets as kt

    assert kt.scoring.takes(kt.scoring.snip) == ("x", "y", "loss")
    assert kt.scoring.takes(kt.scoring.magnitude) == ()
    ```
    """
    arguments = inspect.signature(score).parameters
    return tuple(name for name in GIVEN if name in arguments)


def magnitude(model: keras.Model, *, filters: Filters = None) -> Scores:
    """Scores weights by their magnitude.

    Args:
        model: Built Keras model, sparse or not; it is left as it is.
        filters: Which kernels to score, as in `kt.sparsify`.

    Returns:
        `{kernel path: float32 array of the kernel's shape}`; -inf where a mask is `False`.

    Raises:
        TypeError: `model` is not a Keras 3 model.

    Example:

    ```python
    import keras_tickets as kt

    scores = kt.scoring.magnitude(kt.models.lenet_300_100())
    assert scores["fc1/kernel"].shape == (784, 300)
    ```
    """
    kernels = _kernels(model, filters)
    return _finish(model, {k.path: np.abs(_values(k)) for k in kernels})


def random(model: keras.Model, *, seed: int = 0, filters: Filters = None) -> Scores:
    """Scores weights at random. Equal seeds and kernel paths give equal scores everywhere.

    Args:
        model: As in `magnitude`.
        seed: Non-negative integer.
        filters: As in `kt.sparsify`.

    Returns:
        As `magnitude`.

    Example:

    ```python
    import keras_tickets as kt

    model = kt.models.lenet_300_100((8,), classes=4)
    scores = kt.scoring.random(model, seed=1)
    assert scores["fc1/kernel"].shape == (8, 300)
    ```
    """
    check_seed(seed)
    kernels = _kernels(model, filters)
    return _finish(
        model, {k.path: random_scores(k.shape, k.path, seed, step=0).numpy() for k in kernels}
    )


def snip(
    model: keras.Model, x: Any, y: Any, loss: Callable | str, *, filters: Filters = None
) -> Scores:
    """SNIP: how much the loss depends on a connection, |w * g|.

    Args:
        model: As in `magnitude`. It is run in training mode, but its statistics and seeds do not
            change.
        x: Batch of inputs.
        y: Batch of targets.
        loss: Keras loss, or its name.
        filters: As in `kt.sparsify`.

    Returns:
        As `magnitude`.

    Raises:
        TypeError: `model` is not a Keras 3 model.
        ValueError: The scores are all 0, or not finite.

    Example:

    ```python
    import keras
    import keras_tickets as kt
    import numpy as np

    model = kt.models.lenet_300_100((8,), classes=4)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    scores = kt.scoring.snip(model, np.ones((16, 8)), np.arange(16) % 4, loss)
    sparse = kt.prune(model, scores, 0.9)
    assert abs(sparse.sparsity - 0.9) < 0.001
    ```

    References:
        - [Lee et al., 2019, "SNIP: single-shot network pruning based on connection sensitivity",
          Algorithm 1](https://arxiv.org/abs/1810.02340)
    """
    kernels = _kernels(model, filters)
    values = masked_values(model, kernels)
    loss_function = check_loss(loss)

    with tf.GradientTape() as tape:
        tape.watch(values)
        result = mean_loss(loss_function, y, run_with(model, kernels, values, x))
    gradients = _numpy(_gradient(tape, result, values))
    scored = [np.abs(v * g) for v, g in zip(_numpy(values), gradients, strict=True)]
    return _finish(model, _by_path(kernels, scored), "snip")


def grasp(
    model: keras.Model,
    x: Any,
    y: Any,
    loss: Callable | str,
    *,
    temperature: float = 200.0,
    filters: Filters = None,
) -> Scores:
    """GraSP: what removing a weight does to the gradient flow, w * (H g).

    The paper's score is -w * (H g), and the weights with the highest scores are removed. Here the
    sign is the opposite, because the highest scores are kept.

    Args:
        model: As in `snip`.
        x: Batch of inputs.
        y: Batch of targets.
        loss: Keras loss on logits, or its name.
        temperature: Positive number by which the model's outputs are divided.
        filters: As in `kt.sparsify`.

    Returns:
        As `magnitude`.

    Raises:
        TypeError: `model` is not a Keras 3 model.
        ValueError: `temperature` is not positive; the scores are all 0, or not finite.

    Example:

    ```python
    import keras
    import keras_tickets as kt
    import numpy as np

    model = kt.models.lenet_300_100((8,), classes=4)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    x = np.random.default_rng(0).normal(size=(16, 8))
    scores = kt.scoring.grasp(model, x, np.arange(16) % 4, loss)
    assert scores["fc1/kernel"].shape == (8, 300)
    ```

    References:
        - [Wang et al., 2020, "Picking winning tickets before training by preserving gradient
          flow", Algorithm 1](https://arxiv.org/abs/2002.07376)
    """
    check_number("temperature", temperature, "(0, inf)")
    kernels = _kernels(model, filters)
    values = masked_values(model, kernels)
    loss_function = check_loss(loss)

    with tf.GradientTape() as outer:
        outer.watch(values)
        with tf.GradientTape() as inner:
            inner.watch(values)
            with twice_differentiable():
                outputs = run_with(model, kernels, values, x) / temperature
            result = mean_loss(loss_function, y, outputs)
        first = _gradient(inner, result, values)
        flow = tf.add_n([tf.reduce_sum(g * tf.stop_gradient(g)) for g in first])
    products = _numpy(second_gradient(outer, flow, values))
    scored = [v * hg for v, hg in zip(_numpy(values), products, strict=True)]
    return _finish(model, _by_path(kernels, scored), "grasp")


def synflow(model: keras.Model, *, filters: Filters = None) -> Scores:
    """SynFlow: how much of the flow of absolute weights passes through a connection.

    It needs no data. All weights are replaced by their absolute values, biases and shifts by 0, and
    the inputs are ones. The score is |w| times the gradient of the summed outputs. The model runs
    in inference mode. Each kernel is first scaled, so that nothing overflows; this multiplies all
    scores by the same factor.

    Args:
        model: As in `magnitude`. Sizes that its inputs leave open are taken to be 1, or 32 or 256
            if the model does not accept smaller inputs.
        filters: As in `kt.sparsify`.

    Returns:
        As `magnitude`.

    Raises:
        TypeError: `model` is not a Keras 3 model.
        ValueError: The scores are all 0 (as after a softmax), or not finite.

    Example:

    ```python
    import keras_tickets as kt

    model = kt.models.lenet_300_100((8,), classes=4)
    scores = kt.scoring.synflow(model)
    assert all((score >= 0).all() for score in scores.values())
    ```

    References:
        - [Tanaka et al., 2020, "Pruning neural networks without any data by iteratively conserving
          synaptic flow", Algorithm 1](https://arxiv.org/abs/2006.05467)
    """
    kernels = _kernels(model, filters)
    absolute = [tf.abs(value) for value in masked_values(model, kernels)]
    values = [_unit_flow(v, k) for v, k in zip(absolute, kernels, strict=True)]
    replaced = {id(k.variable) for k in kernels}
    others = []
    for variable in model.trainable_variables:
        if id(variable) not in replaced:
            value = tf.abs(tf.convert_to_tensor(variable))
            shift = len(variable.shape) < 2 and variable.name in ("bias", "beta")
            others.append((variable, tf.zeros_like(value) if shift else value))
    inputs = ones_that_fit(model)

    with tf.GradientTape() as tape:
        tape.watch(values)
        outputs = run_with(model, kernels, values, *inputs, training=False, others=others)
        sums = [tf.reduce_sum(tf.cast(output, tf.float64)) for output in tf.nest.flatten(outputs)]
        flow = tf.add_n(sums)
    gradients = _numpy(_gradient(tape, flow, values))
    scored = [np.abs(v * g) for v, g in zip(_numpy(values), gradients, strict=True)]
    return _finish(model, _by_path(kernels, scored), "synflow")


# Scores by name. Those that need no data can be passed to `kt.prune` by name.
SCORES: dict[str, Callable[..., Scores]] = {
    score.__name__: score for score in (magnitude, random, snip, grasp, synflow)
}


def _kernels(model, filters) -> list[Kernel]:
    check_model(model)
    kernels, _ = find_kernels(model, filters)
    masked = {id(each.kernel) for each in masks.whole_kernels(model, "Scoring").values()}
    return [k for k in kernels if not masked or id(k.variable) in masked]


def _values(kernel):
    return kernel.variable.numpy().astype(np.float32)


def _gradient(tape, result, values):
    return tape.gradient(result, values, unconnected_gradients=tf.UnconnectedGradients.ZERO)


def _unit_flow(value, kernel):
    """The kernel, scaled so that its outputs are on average as large as its inputs."""
    outputs = np.prod([kernel.shape[axis] for axis in kernel.output_axes])
    return value * (float(outputs) / tf.maximum(tf.reduce_sum(value), np.finfo(np.float32).tiny))


def _numpy(tensors):
    return [tensor.numpy().astype(np.float32) for tensor in tensors]


def _by_path(kernels, scored):
    return {kernel.path: score for kernel, score in zip(kernels, scored, strict=True)}


def _finish(model, scores: Scores, name: str | None = None) -> Scores:
    """Checks the scores, and sets them to -inf off the masks that the model already has."""
    for path, score in scores.items():
        if not np.isfinite(score).all():
            raise ValueError(
                f"The scores of {path!r} are not finite: its weights, or the data, may not be."
            )
    if name and not any(score.any() for score in scores.values()):
        raise ValueError(
            f"The {name} scores of model {model.name!r} are all 0: no gradient reaches the "
            "weights. A softmax at the end (use logits), dead units or a batch of zeros may be the "
            "cause."
        )
    for path, record in masks.whole_kernels(model, "Scoring").items():
        if path in scores:
            scores[path][~record.mask.numpy()] = -np.inf
    return scores
