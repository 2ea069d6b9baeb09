"""Plain NumPy versions of the rules, written from the papers and not from the package."""

import zlib

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


DROP_FRACTIONS = {
    "Constant": lambda alpha, progress: alpha,
    "Cosine": lambda alpha, progress: alpha / 2 * (1 + np.cos(np.pi * progress)),
    "Linear": lambda alpha, progress: alpha * (1 - progress),
    "InversePower": lambda alpha, progress: alpha * (1 - progress) ** 3,
    "Exponential": lambda alpha, progress: alpha * 0.01**progress,
}


def due(step, begin, end, every):
    return step > 0 and begin <= step < end and (step - begin) % every == 0


def random_scores(shape, path, seed, step):
    """Upper 24 bits of MurmurHash3_x86_32 of (CRC-32 of path, seed, step, flat index)."""
    words = [zlib.crc32(path.encode()), seed, seed >> 32, step, step >> 32]
    size, mask = int(np.prod(shape)), 0xFFFFFFFF
    hashes = np.zeros(size, np.uint64)

    def rotate(x, r):
        return ((x << np.uint64(r)) | (x >> np.uint64(32 - r))) & np.uint64(mask)

    for word in [*(np.uint64(w & mask) for w in words), np.arange(size, dtype=np.uint64)]:
        k = (word * np.uint64(0xCC9E2D51)) & np.uint64(mask)
        k = (rotate(k, 15) * np.uint64(0x1B873593)) & np.uint64(mask)
        hashes = rotate(hashes ^ k, 13)
        hashes = (hashes * np.uint64(5) + np.uint64(0xE6546B64)) & np.uint64(mask)
    hashes ^= np.uint64(4 * (len(words) + 1))
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        hashes ^= hashes >> np.uint64(shift)
        hashes = (hashes * np.uint64(factor)) & np.uint64(mask)
    return ((hashes >> np.uint64(8)).astype(np.float32) * np.float32(2**-24)).reshape(shape)
