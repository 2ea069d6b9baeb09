"""The masks of the next pruning level, by magnitude or another score."""

import re
from collections.abc import Callable, Mapping

import numpy as np

from keras_tickets._checks import check_number, compile_regex
from keras_tickets._masked_kernel import MaskedKernel
from keras_tickets._selection.counts import sparsity_of
from keras_tickets._selection.ranking import highest
from keras_tickets._warnings import warn


def rates_of(paths: list[str], rate: float, rates: Mapping[str, float] | None) -> dict[str, float]:
    """The pruning rate of each kernel.

    Args:
        paths: Kernel paths.
        rate: Rate of the kernels that no regex matches.
        rates: `{path regex: rate}`; the first that matches wins.

    Raises:
        TypeError: `rates` is not a dict.
        ValueError: A rate is not in [0, 1), a regex is invalid or matches nothing.
    """
    check_number("rate", rate, "[0, 1)")
    if not isinstance(rates, Mapping | None):
        raise TypeError(f"`rates` must be a dict {{path regex: rate}}. Received: rates={rates!r}")
    regexes: dict[re.Pattern, float] = {}
    for pattern, value in (rates or {}).items():
        check_number(f"rates[{pattern!r}]", value, "[0, 1)")
        regex = compile_regex("rates", pattern)
        if not any(regex.search(path) for path in paths):
            raise ValueError(f"`rates`: regex {pattern!r} matches no kernel. Kernels: {paths}")
        regexes[regex] = value
    found = {}
    for path in paths:
        matching = [value for regex, value in regexes.items() if regex.search(path)]
        found[path] = matching[0] if matching else rate
    return found


def remaining(first: int, rate: float, level: int) -> int:
    """Number of weights in a level: `first * (1 - rate) ** level`, rounded, at least 1."""
    return max(round(first * (1 - rate) ** level), min(first, 1))


def next_masks(
    records: Mapping[str, MaskedKernel],
    masks: Mapping[str, np.ndarray],
    weights: Mapping[str, np.ndarray],
    counts: Mapping[str, int] | int,
    score: Callable[[np.ndarray], np.ndarray] = np.abs,
) -> dict[str, np.ndarray]:
    """Masks of the weights with the highest scores among the remaining ones.

    Args:
        records: `{kernel path: masked kernel}`; one with a structure loses whole units of it.
        masks: `{kernel path: boolean array}`, the remaining weights.
        weights: `{kernel path: array}` of their values.
        counts: Number of weights to keep: in total, by one ranking, or `{kernel path: number}`.
            Ties go to the kernel that comes first, then to the lowest flat index.
        score: Function of the array of a kernel to the scores of its weights; their magnitudes by
            default.

    Returns:
        `{kernel path: boolean array}`; no weight that was pruned comes back.

    Raises:
        ValueError: One ranking is requested for kernels with a structure.
    """
    scores = {
        path: np.where(masks[path], score(weights[path].astype(np.float32)), -np.inf)
        for path in records
    }
    if isinstance(counts, int):
        if structured := [path for path, r in records.items() if r.layout.units != r.size]:
            raise ValueError(
                '`scope="global"` ranks single weights, and there are structures: use '
                f'scope="local". Kernels with a structure: {structured}'
            )
        parts = highest([score.reshape(-1) for score in scores.values()], counts)
        pairs = zip(scores.items(), parts, strict=True)
        chosen = {path: part.reshape(score.shape) for (path, score), part in pairs}
    else:
        chosen = {
            path: record.layout.draw(scores[path], sparsity_of(record.size, counts[path]))
            & masks[path]
            for path, record in records.items()
        }
    lost = [path for path, mask in chosen.items() if masks[path].any() and not mask.any()]
    if lost:
        warn(
            f"Layer collapse: no weight is left in {', '.join(lost)}. Prune less, or use "
            'scope="local".'
        )
    return chosen
