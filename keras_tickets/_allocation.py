"""What `kt.sparsify` and `kt.plan` are asked for, as a sparsity for each kernel."""

from collections.abc import Mapping, Sequence

import numpy as np

from keras_tickets import distributions, structures
from keras_tickets._checks import check_sparsity
from keras_tickets._kernels.find import Kernel
from keras_tickets._tables import count_text
from keras_tickets._warnings import warn
from keras_tickets.distributions import Allocation, Custom

SHORTFALL = 0.01


def allocate(
    kernels: Sequence[Kernel],
    sparsity: float | Mapping[str, float],
    distribution: str | distributions.Distribution = "erk",
    structure: structures.Structure | None = None,
    scores: Mapping[str, np.ndarray] | None = None,
) -> Allocation:
    """Resolves the arguments of `kt.sparsify` and `kt.plan` to a sparsity for each kernel.

    Args:
        kernels: The kernels to mask, in layer order.
        sparsity: Share of zeros in [0, 1), or `{path regex: share}`.
        distribution: As in `kt.sparsify`.
        structure: As in `kt.sparsify`.
        scores: `{kernel path: array}`, for distributions that rank weights.

    Returns:
        The sparsity of each kernel, and which kernels stay dense.

    Raises:
        TypeError: `sparsity` is not a number.
        ValueError: An argument is out of range or unknown, or the sparsity cannot be reached.

    Warns:
        UserWarning: The sparsity over all given kernels falls short by more than 0.01.
    """
    structure = structures.get(structure)
    if isinstance(sparsity, Mapping):
        distribution, sparsity = Custom(sparsity), 0.0
    else:
        distribution, sparsity = distributions.get(distribution), check_sparsity(sparsity)
    chosen = _share(kernels, sparsity, distribution, structure, scores)
    shares, kept = {}, 0
    for kernel in kernels:
        if kernel.path not in chosen.sparsity:
            kept += kernel.size
            continue
        share, layout = structures.fit(structure, kernel, chosen.sparsity[kernel.path])
        shares[kernel.path] = share
        kept += layout.count(share)
    if not isinstance(distribution, Custom):
        _warn_of_shortfall(kernels, sparsity, structure, shares, kept)
    return Allocation(shares, chosen.left_dense)


def _share(kernels, sparsity, distribution, structure, scores) -> Allocation:
    if structure.sparsity is not None and not isinstance(distribution, Custom):
        return Allocation({kernel.path: sparsity for kernel in kernels})
    ranks = getattr(distribution, "needs_scores", False)
    if ranks and not isinstance(structure, structures.Unstructured):
        raise ValueError(
            f"{distribution!r} ranks single weights and cannot be used with "
            f"structure={structure!r}; use another distribution."
        )
    return distribution.allocate(kernels, sparsity, scores)


def _warn_of_shortfall(kernels, sparsity, structure, shares, kept):
    size = sum(kernel.size for kernel in kernels)
    reached = 1 - kept / size if size else sparsity
    if sparsity - reached > SHORTFALL:
        why = "only whole weights can be masked"
        if not isinstance(structure, structures.Unstructured):
            why = f"the masks follow {structure!r}"
        dense = [kernel.path for kernel in kernels if not shares.get(kernel.path)]
        if dense:
            why = f"{dense} stay dense"
        warn(
            f"The sparsity falls short: {sparsity:.4f} was asked for, {reached:.4f} is reached "
            f"over {count_text(size, 'weight')} in {count_text(len(kernels), 'kernel')}, because "
            f"{why}."
        )
