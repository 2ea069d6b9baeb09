"""A Dense layer as a `SparseDense`, and back."""

import keras
import numpy as np

from keras_tickets import masks
from keras_tickets._kernels.find import Kernel
from keras_tickets.layers.sparse_dense import SparseDense
from keras_tickets.structures import Layout

_SHARED = (
    "name",
    "trainable",
    "dtype",
    "units",
    "activation",
    "use_bias",
    "kernel_initializer",
    "bias_initializer",
    "kernel_regularizer",
    "bias_regularizer",
    "activity_regularizer",
    "bias_constraint",
)


def sparse_layer(
    kernel: Kernel, layout: Layout, sparsity: float, mask: str | None, seed: int
) -> SparseDense:
    """A layer that stores the kernel of a Dense layer sparsely.

    Args:
        kernel: The kernel of a built Dense layer, which is left as it is.
        layout: Single weights.
        sparsity: Share of zeros in [0, 1).
        mask: How the positions are drawn, as in `kt.sparsify`: "random", as for `None`, or
            "magnitude".
        seed: Non-negative integer.

    Returns:
        The layer, built, with the values that the mask leaves.
    """
    dense = kernel.layer
    layer = SparseDense.from_config(
        {**_shared(dense), "sparsity": sparsity, "seed": seed, "kernel_name": kernel.path}
    )
    layer.build((None, kernel.inputs))
    (record,) = layer.masked_kernels
    if mask == "magnitude":
        scores = masks.initial_scores(kernel.path, kernel.variable, mask, seed)
        record.move(np.flatnonzero(layout.draw(scores, sparsity)))
    take_weights(layer, dense)
    return layer


def dense_layer(layer: SparseDense) -> keras.layers.Dense:
    """The Dense layer of the same outputs.

    Raises:
        ValueError: The kernel is too large to be formed.
    """
    (record,) = layer.masked_kernels
    dense = keras.layers.Dense.from_config(_shared(layer))
    dense.build((None, record.shape[0]))
    dense.kernel.assign(record.to_dense())
    if layer.bias is not None:
        dense.bias.assign(layer.bias)
    return dense


def take_weights(layer: SparseDense, dense: keras.layers.Dense) -> None:
    """Gives a layer the weights of a Dense one, at its own positions."""
    layer.masked_kernels[0].assign(dense.kernel.numpy())
    if layer.bias is not None:
        layer.bias.assign(dense.bias)
    if layer.trainable != dense.trainable:
        layer.trainable = dense.trainable


def _shared(layer) -> dict:
    """The part of a layer's configuration that both classes have."""
    config = layer.get_config()
    return {name: config[name] for name in _SHARED if name in config}
