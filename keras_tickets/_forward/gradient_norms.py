"""The size of the gradients that reach masked kernels."""

from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_tickets import _keras_compat, masks
from keras_tickets._forward.loss import mean_loss


def gradient_norms(
    model: keras.Model,
    x: Any,
    y: Any,
    loss: Callable,
    training: bool = True,
    order: int = 2,
    others: Iterable[tuple[keras.Variable, tf.Tensor]] = (),
) -> dict[str, float]:
    """The norm of the gradient of each masked kernel over its mask; the model does not change.

    Args:
        model: Any Keras model; without masked kernels there are no norms.
        x: Batch of inputs.
        y: Batch of targets.
        loss: From `check_loss`; its mean is differentiated.
        training: Whether the model runs in training mode.
        order: 2 for the Euclidean norm, 1 for the sum of absolute values.
        others: Values in place of those of other variables.

    Returns:
        `{kernel path: norm}`, in layer order.
    """
    records = masks.kernels_by_path(model)
    variables = [record.kernel for record in records.values()]
    kernels = [tf.convert_to_tensor(variable) for variable in variables]
    with tf.GradientTape() as tape:
        tape.watch(kernels)
        mapping = [*zip(variables, kernels, strict=True), *others]
        with _keras_compat.masked_scope(mapping, model):
            outputs = model(x, training=training)
        result = mean_loss(loss, y, outputs)
    gradients = tape.gradient(result, kernels, unconnected_gradients="zero")
    return {
        path: float(np.linalg.norm(gradient.numpy().astype(np.float64).reshape(-1), order))
        for path, gradient in zip(records, gradients, strict=True)
    }
