"""The order of training examples, which is a function of the seed and the epoch alone."""

from collections.abc import Callable

import tensorflow as tf

from keras_tickets._checks import check_integer

LAST_EPOCH = 2**31 - 1


def epoch_seed(seed: int, epoch: int | tf.Tensor) -> tf.Tensor:
    """The seed of all random draws in an epoch, for stateless generators.

    Args:
        seed: Seed of the whole training.
        epoch: Number of the epoch, from 0.

    Returns:
        int32 tensor of shape (2,).
    """
    return tf.stack([seed, tf.cast(epoch, tf.int32)])


def shuffled_batches(
    size: int, batch_size: int, steps: int, seed: int, epoch: int | tf.Tensor
) -> tf.Tensor:
    """The examples of each batch of an epoch.

    Args:
        size: Number of examples.
        batch_size: Examples in a batch.
        steps: Batches in the epoch; the examples that are left over are dropped.
        seed: Seed of the whole training.
        epoch: Number of the epoch, from 0.

    Returns:
        int32 tensor of shape (steps, batch_size), in which every index occurs at most once.
    """
    order = tf.random.experimental.stateless_shuffle(tf.range(size), epoch_seed(seed, epoch))
    return tf.reshape(order[: steps * batch_size], [steps, batch_size])


def all_epochs(
    start_epoch: int, make_epoch: Callable[[tf.Tensor], tf.data.Dataset]
) -> tf.data.Dataset:
    """One epoch after another, without end.

    Args:
        start_epoch: Number of the first epoch.
        make_epoch: Returns the elements of an epoch, given its number.

    Raises:
        ValueError: `start_epoch` is not a non-negative integer.
    """
    check_integer("start_epoch", start_epoch, 0, LAST_EPOCH)
    return tf.data.Dataset.range(start_epoch, LAST_EPOCH).flat_map(make_epoch)


def prefetched(batches: tf.data.Dataset) -> tf.data.Dataset:
    """The batches, prefetched. Several workers split them by example, not by file."""
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return batches.prefetch(tf.data.AUTOTUNE).with_options(options)
