"""Augmentations of image batches, given the random numbers that they use."""

from collections.abc import Callable

import tensorflow as tf


def crop_and_flip(images: tf.Tensor, draws: tf.Tensor, padding: int) -> tf.Tensor:
    """Pads each image with zeros, crops it at random, and mirrors it with probability 1/2.

    Args:
        images: Tensor of shape (batch, height, width, channels).
        draws: int32 tensor of shape (batch, 3) with uniform values from 0; each image depends only
            on its own three numbers.
        padding: Pixels of zeros added on every side before cropping.

    Returns:
        Tensor of the shape and dtype of `images`.

    Example:

    ```python
    import tensorflow as tf
    from keras_tickets.data.augmentation import crop_and_flip

    image = tf.reshape(tf.range(4), (1, 2, 2, 1))
    mirrored = crop_and_flip(image, tf.constant([[1, 1, 1]]), padding=1)
    assert tf.reshape(mirrored, [-1]).numpy().tolist() == [1, 0, 3, 2]
    ```

    References:
        He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2.
    """
    height, width = images.shape[1:3]
    top = draws[:, 0] % (2 * padding + 1)
    left = draws[:, 1] % (2 * padding + 1)
    mirrored = draws[:, 2, None] % 2 == 1
    images = tf.pad(images, [[0, 0], [padding, padding], [padding, padding], [0, 0]])
    rows = top[:, None] + tf.range(height)
    columns = left[:, None] + tf.where(mirrored, tf.range(width)[::-1], tf.range(width))
    images = tf.gather(images, rows, axis=1, batch_dims=1)
    return tf.gather(images, columns, axis=2, batch_dims=1)


def check_augment(augment: Callable | None, shape: tuple[int, ...], dtype: tf.DType | str) -> None:
    """Tries an augmentation of the user's on a batch of zeros.

    Args:
        augment: As in `kt.data.Dataset`.
        shape: Shape of one example.
        dtype: Dtype of the inputs before they are standardized.

    Raises:
        TypeError: It is not a function.
        ValueError: It fails, or changes shape or dtype.
    """
    if augment is None:
        return
    if not callable(augment):
        raise TypeError(
            "`augment` must be a function; in a gin file, write its name with `@` and without "
            f"parentheses. Received: augment={augment!r}"
        )
    images = tf.zeros((2, *shape), dtype)
    try:
        found = tf.convert_to_tensor(augment(images, tf.zeros((2, 3), tf.int32)))
    except Exception as error:  # whatever the user's function raises
        raise ValueError(f"`augment` fails: {type(error).__name__}: {error}") from error
    if (found.shape, found.dtype) != (images.shape, images.dtype):
        raise ValueError(
            f"`augment` must keep shape and dtype: {images.dtype.name} of shape {images.shape}. "
            f"Received: {found.dtype.name} of shape {found.shape}"
        )
