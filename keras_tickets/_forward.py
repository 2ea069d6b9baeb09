"""Forward passes with other values in place of a model's kernels, and inputs for them."""

from collections.abc import Iterable, Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_tickets import _keras_compat, masks
from keras_tickets._kernels.find import Kernel

# What is tried for a size that the model leaves open: a global view needs one position, a
# convolution without padding more.
OPEN_SIZES = (1, 32, 256)


def masked_values(model: keras.Model, kernels: Sequence[Kernel]) -> list[tf.Tensor]:
    """The values of kernels as the model computes with them: 0 off their masks."""
    records = masks.whole_kernels(model, "A pass with other values in place of kernels")
    found = {id(record.kernel): record.mask for record in records.values()}
    values = [tf.convert_to_tensor(kernel.variable) for kernel in kernels]
    return [
        masks.apply_mask(tf.convert_to_tensor(found[id(k.variable)]), v)
        if id(k.variable) in found
        else v
        for k, v in zip(kernels, values, strict=True)
    ]


def ones_that_fit(model: keras.Model) -> list[Any]:
    """The positional arguments of the model: ones, in the structures that it takes.

    Raises:
        ValueError: The model leaves sizes open, and none that is tried fits.
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
        f"Model {model.name!r} is run on inputs of ones, and it takes none in which the open "
        f"sizes are one of {OPEN_SIZES}: {refused} Build it with the sizes that it is used with."
    ) from refused


def run_with(
    model: keras.Model,
    kernels: Sequence[Kernel],
    values: Sequence[tf.Tensor],
    *inputs: Any,
    training: bool = True,
    others: Iterable[tuple[keras.Variable, tf.Tensor]] = (),
) -> Any:
    """The model's outputs with other values for its kernels; nothing it assigns is kept."""
    mapping = [(k.variable, v) for k, v in zip(kernels, values, strict=True)]
    with _keras_compat.masked_scope([*mapping, *others]):
        return model(*inputs, training=training)
