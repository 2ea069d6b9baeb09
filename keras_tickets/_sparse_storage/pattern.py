"""What is known of a sparse kernel: where its values are, and its dense gradient in factors."""

import dataclasses
from typing import NamedTuple

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Pattern:
    """Where the values of a sparse kernel are.

    Attributes:
        indices: int64 tensor of shape (values,): flat row-major positions in the kernel,
            `input * units + unit`, ascending, each once.
        inputs: Number of rows of the kernel.
        units: Number of columns of the kernel.
        starts, columns: What an engine's `prepare` adds.
    """

    indices: tf.Tensor
    inputs: int
    units: int
    starts: tf.Tensor | None = None
    columns: tf.Tensor | None = None


class OuterProduct(NamedTuple):
    """The dense gradient of a sparse kernel, `inputsᵀ @ gradients`, which is never formed.

    Attributes:
        inputs: Tensor of shape (batch, inputs): what the kernel was multiplied with.
        gradients: Tensor of shape (batch, units): the gradient of the loss by the products.
    """

    inputs: tf.Tensor
    gradients: tf.Tensor
