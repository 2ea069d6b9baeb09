"""Plain NumPy versions of the rules, written from the papers and not from the package."""

import numpy as np


def top(scores, k, allowed):
    """The k highest scores among allowed flat positions, ties by lowest index."""
    positions = np.flatnonzero(allowed)
    ranked = sorted(positions, key=lambda i: (-scores[i], i))
    chosen = np.zeros(scores.size, bool)
    chosen[ranked[: max(int(k), 0)]] = True
    return chosen


def drop_and_grow(weights, mask, grow_scores, fraction):
    """One update of a kernel: `(new mask, new weights)`, growing zeros."""
    shape = weights.shape
    weights, mask, grow_scores = weights.ravel(), mask.ravel(), grow_scores.ravel()
    active = np.float32(mask.sum())
    dropped = int(active * np.float32(fraction))
    kept = top(np.abs(weights), active - dropped, mask)
    new = kept | top(grow_scores, dropped, ~kept)
    return new.reshape(shape), np.where(new, weights, 0).reshape(shape)


def cosine(alpha, progress):
    return alpha / 2 * (1 + np.cos(np.pi * progress))


def due(step, begin, end, every):
    return step > 0 and begin <= step < end and (step - begin) % every == 0
