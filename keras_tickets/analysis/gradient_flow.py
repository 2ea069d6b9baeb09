"""The size of the gradients that reach each kernel."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_tickets import masks
from keras_tickets._checks import check_model, check_one_of
from keras_tickets._forward.gradient_norms import gradient_norms
from keras_tickets._forward.loss import check_loss
from keras_tickets.analysis.networks import Masks, weight_masks_of

ORDERS = (1, 2)


def gradient_flow(
    model: keras.Model,
    x: Any,
    y: Any,
    loss: Callable | str,
    *,
    training: bool = True,
    order: int = 2,
    under: Masks | None = None,
) -> dict[str, float]:
    """The norm of the gradient of each masked kernel, over the weights on its mask.

    The square of the norm is, to first order, how much the loss falls for a small gradient step,
    per unit of step size. The norm over all kernels is the root of the sum of the squares. What an
    update of the masks does to it is the difference between `gradient_flow(model, …)` and
    `gradient_flow(model, …, under=later_masks)` on the same batch: weights that are dropped are 0,
    and those that are grown have the values in their kernels, which are 0 unless a method trains
    weights off the mask.

    Args:
        model: A `kt.SparseModel`; its statistics and seeds do not change.
        x: Batch of inputs: an array or a tensor, or a structure of them.
        y: Batch of targets.
        loss: Keras loss, or its name.
        training: Whether the model runs in training mode.
        order: 2 for the Euclidean norm, 1 for the sum of absolute values.
        under: Other masks in place of the model's, by kernel path, or a network whose masks are
            used. Kernels that they leave out keep their masks.

    Returns:
        `{kernel path: norm}`, in layer order.

    Raises:
        ValueError: `model` has no masked kernels; `under` does not fit it; an argument is unknown.

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
    check_one_of("order", order, ORDERS)
    if not masks.masked_kernels(model):
        raise ValueError(f"Model {model.name!r} has no masked kernels.")
    others = [] if under is None else _others(model, weight_masks_of(under))
    return gradient_norms(model, x, y, check_loss(loss), training, order, others)


def effective_gradient_flow(
    model: keras.Model,
    x: Any,
    y: Any,
    loss: Callable | str,
    *,
    training: bool = True,
    order: int = 2,
) -> float:
    """The mean over kernels of the norm of the gradient by the weights on the mask.

    Only live weights count, and each kernel counts alike, however large it is, which makes the
    number fit to compare networks of different sparsities. The norms are not divided by the number
    of live weights.

    Args:
        model: As in `gradient_flow`.
        x: Batch of inputs.
        y: Batch of targets.
        loss: Keras loss, or its name.
        training: As in `gradient_flow`.
        order: As in `gradient_flow`.

    Returns:
        The mean of the values of `gradient_flow`.

    Raises:
        ValueError: As in `gradient_flow`.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_tickets as kt

    model = kt.sparsify(keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)]), 0.5)
    batch = np.ones((2, 8)), np.ones((2, 4))
    flow = kt.analysis.gradient_flow(model, *batch, "mse")
    assert [kt.analysis.effective_gradient_flow(model, *batch, "mse")] == list(flow.values())
    ```

    References:
        - [Tessera et al., 2021, "Keep the gradients flowing: using gradient flow to study sparse
          network optimization"](https://arxiv.org/abs/2102.01670), which describes its measure as
          normalized by the number of active weights and spread evenly over all layers
    """
    flow = gradient_flow(model, x, y, loss, training=training, order=order)
    return float(np.mean(list(flow.values())))


def _others(model, under):
    """`(mask variable, value)` of masks that are to be replaced."""
    records = masks.whole_kernels(model, "Gradient flow under other masks")
    pairs = []
    for path, mask in under.items():
        shape = records[path].shape if path in records else "none"
        if mask.shape != shape:
            raise ValueError(
                f"`under` must have masks of kernels of the model, in their shapes. Received: "
                f"{path!r} of shape {mask.shape}; in the model: {shape}"
            )
        pairs.append((records[path].mask, tf.constant(mask)))
    return pairs
