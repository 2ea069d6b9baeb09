"""Narrower and wider versions of a network: the dense baselines of sparse training."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_tickets._checks import check_number, check_sparsity
from keras_tickets._kernels.find import find_kernels

_PRECISION = 1e-3


def scaled(sizes: Sequence[int], width: float) -> list[int]:
    """Multiplies numbers of channels or units by a factor; each is rounded, at least 1.

    Raises:
        ValueError: `width` is not a positive number.
    """
    check_number("width", width, "(0, inf)")
    return [max(round(width * size), 1) for size in sizes]


def small_dense(model: Callable[..., keras.Model], sparsity: float, **kwargs: Any) -> keras.Model:
    """Makes a narrower dense network with as many weights as a sparse one has left.

    Args:
        model: Makes the network, as the functions in `kt.models` do; takes `width`.
        sparsity: Share of zeros of the sparse network, in [0, 1).
        **kwargs: Further arguments of `model`.

    Returns:
        The widest network whose kernels hold no more weights than `sparsity` leaves at full width.

    Raises:
        ValueError: `sparsity` is out of range, or the narrowest network has more weights.

    Example:

    ```python
    import keras_tickets as kt

    narrow = kt.models.small_dense(kt.models.lenet_300_100, 0.9)
    assert narrow.count_params() < 0.1 * kt.models.lenet_300_100().count_params()
    ```

    References:
        Evci et al., "Rigging the Lottery" (arXiv 1911.11134), section 4, "Small-Dense".
    """
    budget = _weights(model(**kwargs)) * (1 - check_sparsity(sparsity))
    return _widest(model, budget, 0.0, 1.0, kwargs)


def big_sparse(model: Callable[..., keras.Model], sparsity: float, **kwargs: Any) -> keras.Model:
    """Makes a wider network that, once sparse, has as many weights left as the dense one.

    Args:
        model: Makes the network, as the functions in `kt.models` do; takes `width`.
        sparsity: Share of zeros that the result will have, in [0, 1).
        **kwargs: Further arguments of `model`.

    Returns:
        The widest dense network such that `sparsity` leaves no more weights than the network has at
        full width.

    Raises:
        ValueError: `sparsity` is out of range.

    Example:

    ```python
    import keras_tickets as kt

    wide = kt.models.big_sparse(kt.models.lenet_300_100, 0.75)
    model = kt.sparsify(wide, 0.75)
    assert kt.summary(model).nonzeros <= 266_200
    ```

    References:
        Evci et al., "Rigging the Lottery" (arXiv 1911.11134), section 4.1.3, "Big-Sparse".
    """
    budget = _weights(model(**kwargs)) / (1 - check_sparsity(sparsity))
    return _widest(model, budget, 1.0, 2 / (1 - sparsity), kwargs)


def _widest(model, budget, low, high, kwargs):
    """The widest network within a budget of weights, between two widths, by bisection."""
    best = model(width=high, **kwargs)
    if _weights(best) <= budget:
        return best
    best = None
    while best is None or high - low > _PRECISION:
        width = (low + high) / 2
        candidate = model(width=width, **kwargs)
        if _weights(candidate) <= budget:
            low, best = width, candidate
        else:
            high = width
        if high < _PRECISION:
            raise ValueError(
                f"The narrowest network has {_weights(candidate):,} weights, more than the "
                f"{int(budget):,} that it may have; lower `sparsity`."
            )
    return best


def _weights(model):
    return sum(kernel.size for kernel in find_kernels(model)[0])
