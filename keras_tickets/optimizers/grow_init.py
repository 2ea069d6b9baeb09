"""The values that grown weights start from."""

import tensorflow as tf

from keras_tickets.randomness import random_scores

CHOICES = ("zeros", "random_normal", "random_uniform", "grad_scale", "grad_sign")


def check_grow_init(grow_init: str, needs_dense_gradients: bool) -> str:
    """Raises a `ValueError` unless a method can start grown weights so.

    Args:
        grow_init: One of `CHOICES`.
        needs_dense_gradients: Whether the method has dense gradients to start from.
    """
    choices = CHOICES if needs_dense_gradients else CHOICES[:3]
    if grow_init not in choices:
        raise ValueError(f"`grow_init` must be one of {choices}. Received: grow_init={grow_init!r}")
    return grow_init


def grown_values(
    grow_init: str,
    kernel: tf.Tensor,
    mask: tf.Tensor,
    gradient: tf.Tensor | None,
    path: str,
    seed: int,
    step: tf.Tensor,
) -> tf.Tensor:
    """Start values for every position of a kernel, grown or not.

    Args:
        grow_init: "zeros"; "random_normal" with the standard deviation of the active weights, or
            "random_uniform" within their mean magnitude; "grad_scale", the dense gradient, or
            "grad_sign", its sign.
        kernel: float tensor, the kernel's values, 0 off the mask.
        mask: Boolean tensor, the active weights.
        gradient: Dense gradient; `None` for methods without.
        path: Kernel path.
        seed: Non-negative integer.
        step: int64 scalar.

    Returns:
        Tensor of the kernel's shape and dtype.
    """
    if grow_init == "zeros":
        return tf.zeros_like(kernel)
    if grow_init == "grad_scale":
        return tf.cast(gradient, kernel.dtype)
    if grow_init == "grad_sign":
        return tf.sign(tf.cast(gradient, kernel.dtype))
    active = tf.maximum(tf.math.count_nonzero(mask, dtype=kernel.dtype), 1)
    uniform = tf.cast(random_scores(kernel.shape, path + "/grow_init", seed, step), kernel.dtype)
    if grow_init == "random_uniform":
        return (2 * uniform - 1) * tf.reduce_sum(tf.abs(kernel)) / active
    mean = tf.reduce_sum(kernel) / active
    variance = tf.maximum(tf.reduce_sum(tf.square(kernel)) / active - tf.square(mean), 0)
    inside = tf.clip_by_value(2 * uniform - 1, -1 + 1e-6, 1 - 1e-6)
    return tf.sqrt(2 * variance) * tf.math.erfinv(inside)
