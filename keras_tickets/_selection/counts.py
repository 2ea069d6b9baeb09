"""Conversion between a sparsity and a number of weights."""

import math


def nonzeros(size: int, sparsity: float, rounding: str = "floor") -> int:
    """Number of weights that a sparsity leaves.

    Args:
        size: Number of weights.
        sparsity: Share of zeros in [0, 1).
        rounding: How the number of zeros, `sparsity * size` in float64, is rounded: "floor" or
            "ceil".

    Returns:
        Number of weights that are not zeroed.

    Example:

    >>> import keras_tickets as kt
    >>> kt.distributions.nonzeros(1000, 0.9995)
    1
    """
    zeros = sparsity * size
    return size - (math.ceil(zeros) if rounding == "ceil" else math.floor(zeros))


def sparsity_of(size: int, kept: int) -> float:
    """A sparsity for which `nonzeros` is exactly `kept`."""
    sparsity = (size - kept) / size
    if nonzeros(size, sparsity) == kept:
        return sparsity
    # The quotient was rounded down, so that one zero too few would be counted.
    return math.nextafter(sparsity, 1.0)
