"""The values that grown weights start from."""

import numpy as np
import tensorflow as tf

from keras_tickets._checks import check_number, check_one_of
from keras_tickets._masked_kernel import MaskedKernel
from keras_tickets._sparse_storage.kernel import SparseKernel

CHOICES = (
    "zeros",
    "initial_dist",
    "random_normal",
    "random_uniform",
    "grad_scale",
    "grad_sign",
)
GRADIENTS = CHOICES[4:]


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


def initial_values(masked: MaskedKernel | SparseKernel) -> np.ndarray:
    """The values of a kernel's active weights in flat order, as many as its target.

    Args:
        masked: The kernel, before training.

    Returns:
        Array of shape (`masked.target`,). If the mask leaves more or fewer weights than the target,
        values are taken at even distances, some twice where there are too few. Zeros if it leaves
        none.
    """
    values = masked.kernel.numpy()
    if masked.storage == "sparse":
        return values
    values = values[masked.to_mask()]
    if not values.size:
        return np.zeros(masked.target, masked.kernel.dtype)
    return values[np.arange(masked.target) * values.size // masked.target]


def random_stream(path: str) -> str:
    """What the random numbers of a kernel's start values are drawn for, as a path."""
    return path + "/grow_init"


def grown_values(
    grow_init: str,
    kernel: tf.Tensor,
    active: int | tf.Tensor,
    gradient: tf.Tensor | None,
    initial: tf.Tensor | None,
    uniform: tf.Tensor | None,
) -> tf.Tensor:
    """First values for every position of a kernel, whether it is grown or not.

    Args:
        grow_init: "initial_dist" (values are drawn with replacement), "random_normal",
            "random_uniform", "grad_scale" or "grad_sign", as in `DropAndGrow`.
        kernel: float tensor, the kernel's values, 0 off the mask.
        active: Number of active weights.
        gradient: Dense gradient at the positions, for "grad_scale" and "grad_sign".
        initial: 1-D tensor, `initial_values` of the kernel; needed for "initial_dist".
        uniform: float32 tensor of a random number in [0, 1) for each position, for the others.

    Returns:
        Tensor of the positions' shape and the kernel's dtype.
    """
    if grow_init == "grad_scale":
        return tf.cast(gradient, kernel.dtype)
    if grow_init == "grad_sign":
        return tf.sign(tf.cast(gradient, kernel.dtype))
    if grow_init == "initial_dist":
        # In float64 the product of 24 random bits and a count is exact.
        count = tf.cast(tf.size(initial), tf.float64)
        return tf.gather(initial, tf.cast(tf.cast(uniform, tf.float64) * count, tf.int32))
    uniform = tf.cast(uniform, kernel.dtype)
    active = tf.maximum(tf.cast(active, kernel.dtype), 1)
    if grow_init == "random_uniform":
        return (2 * uniform - 1) * tf.reduce_sum(tf.abs(kernel)) / active
    mean = tf.reduce_sum(kernel) / active
    variance = tf.maximum(tf.reduce_sum(tf.square(kernel)) / active - tf.square(mean), 0)
    inside = tf.clip_by_value(2 * uniform - 1, -1 + 1e-6, 1 - 1e-6)
    return tf.sqrt(2 * variance) * tf.math.erfinv(inside)
