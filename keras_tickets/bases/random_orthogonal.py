"""`RandomOrthogonal`: random rotations."""

import zlib
from typing import Any

import keras
import numpy as np

from keras_tickets._checks import check_seed
from keras_tickets.bases.basis import Basis


@keras.saving.register_keras_serializable("keras_tickets")
class RandomOrthogonal(Basis):
    """A random rotation along every axis, drawn for each kernel path.

    Args:
        seed: Non-negative integer.

    Example:

    ```python
    import keras_tickets as kt
    import numpy as np

    kernel = np.eye(4)
    coefficients = kt.bases.RandomOrthogonal(seed=1).forward("fc/kernel", kernel)
    assert np.isclose(np.linalg.norm(coefficients), np.linalg.norm(kernel))
    ```
    """

    def __init__(self, seed: int = 0):
        self.seed = check_seed(seed)

    def matrices(self, path: str, shape: tuple[int, ...]) -> list[np.ndarray | None]:
        generator = np.random.default_rng([zlib.crc32(path.encode()), self.seed])
        return [_matrix(generator, size) for size in shape]

    def get_config(self) -> dict[str, Any]:
        return {"seed": self.seed}


def _matrix(generator, size):
    q, r = np.linalg.qr(generator.normal(size=(size, size)))
    return q * np.sign(np.diag(r))
