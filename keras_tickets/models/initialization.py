"""Kernel initializers that depend on a model's seed and the layer's name."""

import zlib
from typing import TypeAlias

import keras
import numpy as np

from keras_tickets._checks import check_seed

Initializer: TypeAlias = str | dict | keras.initializers.Initializer


def seeded(initializer: Initializer, seed: int | None, name: str) -> keras.initializers.Initializer:
    """Returns a copy of `initializer` that draws from `seed` and the layer's name.

    Args:
        initializer: Name, configuration or instance of a Keras initializer.
        seed: Non-negative seed of the whole model. None keeps the initializer's own seed; if it has
            none, it follows `keras.utils.set_random_seed`.
        name: Name of the layer. Equal names draw equal values, different ones independent values.

    Returns:
        A Keras initializer. One that takes no seed, such as "zeros", is returned unchanged; any
        other is copied, because an initializer draws the same values each time.

    Example:

    ```python
    from keras_tickets.models.initialization import seeded

    draw, again = seeded("he_normal", 7, "conv1"), seeded("he_normal", 7, "conv1")
    assert (draw((3, 3)).numpy() == again((3, 3)).numpy()).all()
    ```
    """
    initializer = keras.initializers.get(initializer)
    config = initializer.get_config()
    if "seed" not in config:
        return initializer
    if seed is None:
        return type(initializer).from_config(config)
    entropy = [check_seed(seed), zlib.crc32(name.encode())]
    config["seed"] = int(np.random.SeedSequence(entropy).generate_state(1)[0] >> 1)
    return type(initializer).from_config(config)
