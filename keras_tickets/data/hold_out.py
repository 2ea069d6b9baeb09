"""Which training examples are held out for validation, as a function of the seed."""

import numpy as np
import tensorflow as tf

from keras_tickets._checks import check_number
from keras_tickets._epoch_order import epoch_seed

_BEFORE_ALL_EPOCHS = -1


def count_held_out(size: int, validation: float) -> int:
    """Converts a share of the training set to a number of examples, at least 1 unless it is 0.

    Args:
        size: Number of training examples.
        validation: Share of them, in [0, 1).

    Raises:
        TypeError: `validation` is not a number.
        ValueError: It is out of range, or leaves no example to train on.
    """
    share = check_number("validation", validation, "[0, 1)")
    count = max(round(size * share), 1 if share else 0)
    if count >= size:
        raise ValueError(
            f"`validation` must leave examples to train on. Received: validation={validation!r}, "
            f"which holds out {count} of {size}"
        )
    return count


def held_out_at_random(size: int, count: int, seed: int) -> np.ndarray:
    """Chooses examples at random, one by one.

    Args:
        size: Number of training examples.
        count: How many of them are held out.
        seed: Non-negative seed.

    Returns:
        Boolean array of shape (size,), True for those held out.
    """
    order = tf.random.experimental.stateless_shuffle(
        tf.range(size), epoch_seed(seed, _BEFORE_ALL_EPOCHS)
    )
    held_out = np.zeros(size, bool)
    held_out[order[:count].numpy()] = True
    return held_out


def held_out_in_a_row(size: int, count: int, seed: int) -> tuple[int, int]:
    """Chooses one run of examples, from a random position on.

    It is as good as a choice one by one where the examples lie on disk in random order, as
    tensorflow-datasets writes them.

    Args:
        size: Number of training examples.
        count: How many of them are held out.
        seed: Non-negative seed.

    Returns:
        Positions of the first of them and of the one after the last.
    """
    first = tf.random.stateless_uniform(
        [], epoch_seed(seed, _BEFORE_ALL_EPOCHS), 0, size - count + 1, tf.int32
    )
    return int(first), int(first) + count


def nothing_held_out(name: str) -> ValueError:
    """The error for a data set that is asked for validation and holds nothing out."""
    return ValueError(
        f"Data set {name!r} holds out no training examples for validation: load it with "
        "`validation=0.1`, or another share."
    )
