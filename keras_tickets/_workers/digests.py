"""Digests of what processes compare, short enough to be added up by every device."""

import hashlib
import json
from typing import Any

import keras
import numpy as np

_WORDS = 4
_BITS = 24  # Integers of this size are exact in float32, which every device can add up.


def digest_words(value: Any) -> np.ndarray:
    """The first bits of a SHA-256, as integers in float32.

    Args:
        value: `{name: variable or array}`, or a value that JSON knows.

    Returns:
        Array of shape (4,).
    """
    total = hashlib.sha256()
    arrays = (keras.Variable, np.ndarray)
    if isinstance(value, dict) and any(isinstance(v, arrays) for v in value.values()):
        for name, variable in value.items():
            array = np.ascontiguousarray(
                variable if isinstance(variable, np.ndarray) else variable.numpy()
            )
            total.update(f"{_without_numbers(name)}{array.dtype}{array.shape}".encode())
            total.update(array.tobytes())
    else:
        total.update(json.dumps(value, sort_keys=True, default=str).encode())
    size = _BITS // 8
    words = [total.digest()[i * size : (i + 1) * size] for i in range(_WORDS)]
    return np.array([int.from_bytes(word, "big") for word in words], "float32")


def _without_numbers(path: str) -> str:
    return "".join(letter for letter in path if not letter.isdigit())
