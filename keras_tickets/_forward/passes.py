"""Forward passes with other values in place of a model's kernels, and inputs of ones for them."""

from collections.abc import Iterable, Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_tickets import _keras_compat, masks
from keras_tickets._kernels.find import Kernel
from keras_tickets._masked_kernel import apply_mask

# Tried in this order for sizes that the model leaves open: 1 is enough for global pooling, but
# convolutions without padding need more.
OPEN_SIZES = (1, 32, 256)


def masked_values(model: keras.Model, kernels: Sequence[Kernel]) -> list[tf.Tensor]:
    """The values of kernels that the model computes with: 0 off their masks."""
    records = masks.whole_kernels(model, "A pass with other values in place of kernels")
    found = {id(record.kernel): record.mask for record in records.values()}
    values = [tf.convert_to_tensor(kernel.variable) for kernel in kernels]
    return [
        apply_mask(tf.convert_to_tensor(found[id(k.variable)]), v) if id(k.variable) in found else v
        for k, v in zip(kernels, values, strict=True)
    ]


def ones_that_fit(model: keras.Model) -> list[Any]:
    """Positional arguments for the model, of the right structure and shapes, with all values 1.

    Raises:
        ValueError: The model leaves sizes open, and none of those that are tried fits.
    """
    signature = _keras_compat.input_signature(model)

    def ones(size):
        def fill(spec):
            return tf.ones([size if n is None else n for n in [1, *spec.shape[1:]]], spec.dtype)

        return tf.nest.map_structure(fill, signature)

    if all(None not in spec.shape[1:] for spec in tf.nest.flatten(signature)):
        return ones(1)
    for size in OPEN_SIZES:
        try:
            model(*ones(size), training=False)
        except (ValueError, tf.errors.InvalidArgumentError) as error:
            refused = error
        else:
            return ones(size)
    raise ValueError(
        f"Model {model.name!r} must be run on inputs of ones, and leaves sizes of its inputs open. "
        f"None of {OPEN_SIZES} works: {refused} Build it with the sizes that it is used with."
    ) from refused


def run_with(
    model: keras.Model,
    kernels: Sequence[Kernel],
    values: Sequence[tf.Tensor],
    *inputs: Any,
    training: bool = True,
    others: Iterable[tuple[keras.Variable, tf.Tensor]] = (),
) -> Any:
    """The model's outputs with other values for its kernels. What the pass assigns is discarded."""
    mapping = [(k.variable, v) for k, v in zip(kernels, values, strict=True)]
    with _keras_compat.masked_scope([*mapping, *others], model):
        return model(*inputs, training=training)
