"""Controls: comparisons for a ticket, made from the ticket and the weights it came from.

Each is a function of `(masks, weights, fresh, generator)`: the ticket's masks and weights, freshly
drawn initial weights, and a seeded NumPy generator. It returns masks and weights.
"""

from collections.abc import Callable, Mapping

import numpy as np

Arrays = Mapping[str, np.ndarray]
Control = Callable[[Arrays, Arrays, Arrays, np.random.Generator], tuple[Arrays, Arrays]]


def reinit(
    masks: Arrays, weights: Arrays, fresh: Arrays, generator: np.random.Generator
) -> tuple[Arrays, Arrays]:
    """The same masks; all weights are drawn anew."""
    return masks, fresh


def reinit_signs(
    masks: Arrays, weights: Arrays, fresh: Arrays, generator: np.random.Generator
) -> tuple[Arrays, Arrays]:
    """The same masks; kernels are drawn anew, but each weight keeps its sign."""
    signed = {path: np.copysign(fresh[path], weights[path]) for path in masks}
    return masks, {**fresh, **signed}


def reuse(
    masks: Arrays, weights: Arrays, fresh: Arrays, generator: np.random.Generator
) -> tuple[Arrays, Arrays]:
    """The same masks; each kernel draws its values, with replacement, from those that survived."""
    drawn = {}
    for path, mask in masks.items():
        survivors = weights[path][mask]
        drawn[path] = np.zeros_like(weights[path])
        if survivors.size:
            drawn[path][mask] = generator.choice(survivors, survivors.size)
    return masks, {**weights, **drawn}


def random(
    masks: Arrays, weights: Arrays, fresh: Arrays, generator: np.random.Generator
) -> tuple[Arrays, Arrays]:
    """Random masks, which leave each kernel the same number of weights; no weight moves."""
    return {path: _permuted(mask, generator) for path, mask in masks.items()}, weights


def random_global(
    masks: Arrays, weights: Arrays, fresh: Arrays, generator: np.random.Generator
) -> tuple[Arrays, Arrays]:
    """Random masks, which leave the same total number of weights; no weight moves."""
    flat = generator.permutation(np.concatenate([mask.reshape(-1) for mask in masks.values()]))
    parts = np.split(flat, np.cumsum([mask.size for mask in masks.values()])[:-1])
    pairs = zip(masks.items(), parts, strict=True)
    return {path: part.reshape(mask.shape) for (path, mask), part in pairs}, weights


def shuffled(
    masks: Arrays, weights: Arrays, fresh: Arrays, generator: np.random.Generator
) -> tuple[Arrays, Arrays]:
    """Each kernel's weights move to other places, mask and value together."""
    moved_masks, moved = {}, {}
    for path, mask in masks.items():
        order = generator.permutation(mask.size)
        moved_masks[path] = mask.reshape(-1)[order].reshape(mask.shape)
        moved[path] = weights[path].reshape(-1)[order].reshape(mask.shape)
    return moved_masks, {**weights, **moved}


def _permuted(mask, generator):
    return generator.permutation(mask.reshape(-1)).reshape(mask.shape)


CONTROLS: dict[str, Control] = {
    "reinit": reinit,
    "reinit_from_0": reinit,
    "reinit_signs": reinit_signs,
    "reuse": reuse,
    "random": random,
    "random_global": random_global,
    "shuffled": shuffled,
}
FROM_STEP_0 = ("reinit_from_0",)
