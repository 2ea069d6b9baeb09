"""The values that grown weights start from."""

import numpy as np
import tensorflow as tf

from keras_tickets._checks import check_number, check_one_of
from keras_tickets._randomness import random_scores
from keras_tickets.masks import MaskedKernel

CHOICES = (
    "zeros",
    "initial_dist",
    "random_normal",
    "random_uniform",
    "grad_scale",
    "grad_sign",
)


def check_grow_init(grow_init: str, grow_divisor: float, needs_dense_gradients: bool) -> None:
    """Checks the arguments that say what grown weights start from.

    Args:
        grow_init: One of `CHOICES`.
        grow_divisor: What the first value is divided by: a positive number, 1 for "zeros".
        needs_dense_gradients: Whether the method has dense gradients to start from.
    """
    choices = CHOICES if needs_dense_gradients else CHOICES[:4]
    check_one_of("grow_init", grow_init, choices)
    check_number("grow_divisor", grow_divisor, "(0, inf)")
    if grow_init == "zeros" and grow_divisor != 1:
        raise ValueError(
            '`grow_divisor` needs a `grow_init` other than "zeros". Received: '
            f"grow_divisor={grow_divisor!r}"
        )


def initial_values(masked: MaskedKernel) -> np.ndarray:
    """The values of a kernel's active weights in flat order, as many as its target.

    Args:
        masked: The kernel, before training.

    Returns:
        Array of shape (`masked.target`,). If the mask leaves more or fewer weights than the target,
        values are taken at even distances, some twice where there are too few. Zeros if it leaves
        none.
    """
    values = masked.kernel.numpy()[masked.mask.numpy().astype(bool)]
    if not values.size:
        return np.zeros(masked.target, masked.kernel.dtype)
    return values[np.arange(masked.target) * values.size // masked.target]


def grown_values(
    grow_init: str,
    kernel: tf.Tensor,
    mask: tf.Tensor,
    gradient: tf.Tensor | None,
    initial: tf.Tensor | None,
    path: str,
    seed: int,
    step: tf.Tensor,
) -> tf.Tensor:
    """First values for every position of a kernel, whether it is grown or not.

    Args:
        grow_init: "initial_dist" (values are drawn with replacement), "random_normal",
            "random_uniform", "grad_scale" or "grad_sign", as in `DropAndGrow`.
        kernel: float tensor, the kernel's values, 0 off the mask.
        mask: Boolean tensor, the active weights.
        gradient: Dense gradient; `None` for methods without it.
        initial: 1-D tensor, `initial_values` of the kernel; needed for "initial_dist".
        path: Kernel path.
        seed: Non-negative integer.
        step: int64 scalar.

    Returns:
        Tensor of the kernel's shape and dtype.
    """
    if grow_init == "grad_scale":
        return tf.cast(gradient, kernel.dtype)
    if grow_init == "grad_sign":
        return tf.sign(tf.cast(gradient, kernel.dtype))
    uniform = random_scores(kernel.shape, path + "/grow_init", seed, step)
    if grow_init == "initial_dist":
        # In float64 the product of 24 random bits and a count is exact.
        count = tf.cast(tf.size(initial), tf.float64)
        return tf.gather(initial, tf.cast(tf.cast(uniform, tf.float64) * count, tf.int32))
    uniform = tf.cast(uniform, kernel.dtype)
    active = tf.maximum(tf.math.count_nonzero(mask, dtype=kernel.dtype), 1)
    if grow_init == "random_uniform":
        return (2 * uniform - 1) * tf.reduce_sum(tf.abs(kernel)) / active
    mean = tf.reduce_sum(kernel) / active
    variance = tf.maximum(tf.reduce_sum(tf.square(kernel)) / active - tf.square(mean), 0)
    inside = tf.clip_by_value(2 * uniform - 1, -1 + 1e-6, 1 - 1e-6)
    return tf.sqrt(2 * variance) * tf.math.erfinv(inside)
