"""Controls: what a ticket is compared with, made of the ticket and of the weights it came from.

Each is a function of `(masks, weights, fresh, generator)`: the ticket's masks and weights, freshly
drawn initial weights, and a seeded NumPy generator. It returns masks and weights.
"""

from collections.abc import Callable, Mapping

import numpy as np

Arrays = Mapping[str, np.ndarray]
Control = Callable[[Arrays, Arrays, Arrays, np.random.Generator], tuple[Arrays, Arrays]]


def reinit(masks, weights, fresh, generator):
    """The same masks, all weights drawn anew."""
    return masks, fresh


def reinit_signs(masks, weights, fresh, generator):
    """The same masks, kernels drawn anew with the sign that each weight had."""
    signed = {path: np.copysign(fresh[path], weights[path]) for path in masks}
    return masks, {**fresh, **signed}


def reuse(masks, weights, fresh, generator):
    """The same masks, each kernel's values drawn with replacement from its surviving ones."""
    drawn = {}
    for path, mask in masks.items():
        survivors = weights[path][mask]
        drawn[path] = np.zeros_like(weights[path])
        if survivors.size:
            drawn[path][mask] = generator.choice(survivors, survivors.size)
    return masks, {**weights, **drawn}


def random(masks, weights, fresh, generator):
    """Random masks with as many weights in each kernel, all weights in their places."""
    return {path: _permuted(mask, generator) for path, mask in masks.items()}, weights


def random_global(masks, weights, fresh, generator):
    """Random masks with as many weights in all, all weights in their places."""
    flat = generator.permutation(np.concatenate([mask.reshape(-1) for mask in masks.values()]))
    parts = np.split(flat, np.cumsum([mask.size for mask in masks.values()])[:-1])
    pairs = zip(masks.items(), parts, strict=True)
    return {path: part.reshape(mask.shape) for (path, mask), part in pairs}, weights


def shuffled(masks, weights, fresh, generator):
    """Each kernel's weights moved to other places, mask and value together."""
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
