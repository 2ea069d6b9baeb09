"""Masks over coefficients, and kernels without the coefficients that are masked out."""

from collections.abc import Iterable

import numpy as np

from keras_tickets._checks import check_sparsity
from keras_tickets._selection.counts import nonzeros
from keras_tickets._selection.ranking import highest
from keras_tickets.bases.basis import Arrays, Basis


def magnitude_masks(
    weights: Arrays,
    basis: Basis,
    density: float,
    *,
    within: Arrays | None = None,
    units: bool = False,
) -> dict[str, np.ndarray]:
    """Masks that keep the largest coefficients, in one ranking of all kernels.

    Args:
        weights: `{kernel path: array}`, the trained kernels.
        basis: The basis.
        density: Share of the coefficients to keep, in (0, 1].
        within: Masks to which the new ones are restricted, such as those of the level before.
        units: Whether to keep whole units (indices of a kernel's last axis), ranked by their root
            mean square, as many as the density allows. In the basis `Identity` this is unit
            pruning; in `Singular`, an approximation of low rank.

    Returns:
        `{kernel path: boolean array}` over the coefficients. Ties go to the earlier kernel, then to
        the lowest index.

    Raises:
        ValueError: `density` is out of range, or above that of `within`.

    Example:

    ```python
    import numpy as np
    from keras_tickets import bases

    weights = {"fc/kernel": np.outer(np.arange(4), np.arange(3))}
    basis = bases.Singular(weights)
    masks = bases.magnitude_masks(weights, basis, 1 / 3, units=True)
    assert np.allclose(bases.project(weights, masks, basis)["fc/kernel"], weights["fc/kernel"])
    ```
    """
    check_sparsity(1 - density, "1 - density")
    scores = {path: np.abs(basis.forward(path, value)) for path, value in weights.items()}
    count = nonzeros(sum(score.size for score in scores.values()), 1 - density)
    allowed = {path: np.ones(score.shape, bool) for path, score in scores.items()}
    allowed.update({path: np.asarray(mask, bool) for path, mask in (within or {}).items()})
    left = sum(np.count_nonzero(mask) for mask in allowed.values())
    if count > left:
        raise ValueError(f"`density={density}` keeps {count} coefficients; `within` leaves {left}.")
    if units:
        return _whole_units(scores, allowed, count)
    flat = [np.where(allowed[path], score, -np.inf).ravel() for path, score in scores.items()]
    chosen = highest(flat, count)
    return {p: c.reshape(scores[p].shape) for p, c in zip(scores, chosen, strict=True)}


def project(weights: Arrays, masks: Arrays, basis: Basis) -> dict[str, np.ndarray]:
    """Sets the coefficients that are masked out to 0.

    Args:
        weights: `{weight path: array}`. Those without a mask are returned as they are.
        masks: `{kernel path: boolean array}` over the coefficients.
        basis: The basis.

    Returns:
        `{weight path: array}`, with the dtypes of `weights`.

    Example:

    ```python
    import keras_tickets as kt
    import numpy as np

    weights = {"fc/kernel": np.ones((4, 4)), "fc/bias": np.ones(4)}
    masks = {"fc/kernel": np.zeros((4, 4), bool)}
    masks["fc/kernel"][0, 0] = True
    assert np.allclose(kt.bases.project(weights, masks, kt.bases.DCT())["fc/kernel"], 1.0)
    ```
    """
    projected = dict(weights)
    for path, mask in masks.items():
        kept = np.where(mask, basis.forward(path, weights[path]), 0)
        projected[path] = basis.inverse(path, kept).astype(np.asarray(weights[path]).dtype)
    return projected


def to_coefficients(
    values: Arrays, paths: Iterable[str], basis: Basis | None
) -> dict[str, np.ndarray]:
    """The kernels of these paths as coefficients, with their dtypes; other values as they are."""
    if basis is None:
        return dict(values)
    turned = {path: basis.forward(path, values[path]).astype(values[path].dtype) for path in paths}
    return {**values, **turned}


def to_weights(values: Arrays, paths: Iterable[str], basis: Basis | None) -> dict[str, np.ndarray]:
    """The reverse of `to_coefficients`."""
    if basis is None:
        return dict(values)
    turned = {path: basis.inverse(path, values[path]).astype(values[path].dtype) for path in paths}
    return {**values, **turned}


def _whole_units(scores, allowed, count):
    units = [
        (float(np.sqrt(np.mean(score[..., i] ** 2))), path, i, score[..., i].size)
        for path, score in scores.items()
        for i in range(score.shape[-1])
        if allowed[path][..., i].all()
    ]
    masks = {path: np.zeros(score.shape, bool) for path, score in scores.items()}
    kept = 0
    for _, path, i, size in sorted(units, key=lambda unit: -unit[0]):
        if kept + size > count:
            break
        masks[path][..., i] = True
        kept += size
    return masks
