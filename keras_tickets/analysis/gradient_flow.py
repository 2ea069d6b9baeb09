"""The size of the gradients that reach each kernel."""

from collections.abc import Callable
from typing import Any

import keras

from keras_tickets import masks
from keras_tickets._checks import check_loss, check_model
from keras_tickets._forward import gradient_norms


def gradient_flow(
    model: keras.Model, x: Any, y: Any, loss: Callable | str, *, training: bool = True
) -> dict[str, float]:
    """The norm of the gradient of each masked kernel, over the weights on its mask.

    The square of the norm is, to first order, how much the loss falls for a small gradient step,
    per unit of step size. The norm over all kernels is the root of the sum of the squares.

    Args:
        model: A `kt.SparseModel`; its statistics and seeds do not change.
        x: Batch of inputs: an array or a tensor, or a structure of them.
        y: Batch of targets.
        loss: Keras loss, or its name.
        training: Whether the model runs in training mode.

    Returns:
        `{kernel path: norm}`, in layer order.

    Raises:
        ValueError: `model` has no masked kernels.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_tickets as kt

    model = kt.sparsify(keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)]), 0.5)
    flow = kt.analysis.gradient_flow(model, np.ones((2, 8)), np.ones((2, 4)), "mse")
    assert len(flow) == 1
    ```

    References:
        - [Evci et al., 2022, "Gradient flow in sparse neural networks and how lottery tickets
          win", section 3](https://arxiv.org/abs/2010.03533)
    """
    check_model(model)
    if not masks.masked_kernels(model):
        raise ValueError(f"Model {model.name!r} has no masked kernels.")
    return gradient_norms(model, x, y, check_loss(loss), training)
