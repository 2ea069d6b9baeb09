"""Turns what users may pass as a distribution into one."""

from collections.abc import Mapping

import keras

from keras_tickets.distributions.custom import Custom
from keras_tickets.distributions.distribution import Distribution
from keras_tickets.distributions.erdos_renyi import ER, ERK
from keras_tickets.distributions.global_ranking import Global
from keras_tickets.distributions.uniform import Uniform

NAMES = ("uniform", "er", "erk", "global")


def get(identifier: str | dict | Distribution) -> Distribution:
    """Resolves a distribution.

    Args:
        identifier: "uniform", "er", "erk", "global"; a distribution; its serialized form; or a map
            `{path regex: sparsity}`.

    Returns:
        The distribution.

    Raises:
        ValueError: It is none of these.

    Example:

    >>> import keras_tickets as kt
    >>> kt.distributions.get("erk")
    ERK(power_scale=1.0)
    """
    classes = dict(zip(NAMES, (Uniform, ER, ERK, Global), strict=True))
    if isinstance(identifier, str) and identifier.lower() in classes:
        return classes[identifier.lower()]()
    if isinstance(identifier, Mapping):
        if {"class_name", "config"} <= set(identifier):
            return keras.saving.deserialize_keras_object(dict(identifier))
        return Custom(identifier)
    allocates = callable(getattr(identifier, "allocate", None))
    if allocates and not isinstance(identifier, (str, type)):
        return identifier
    raise ValueError(
        f"`distribution` must be one of {NAMES}, an object of `kt.distributions` or a dict "
        f"{{path regex: sparsity}}. Received: distribution={identifier!r}"
    )
