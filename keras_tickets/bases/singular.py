"""`Singular`: the singular vectors of trained kernels, for pruning to a low rank."""

import base64
from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np

from keras_tickets.bases.basis import Arrays, Basis


@keras.saving.register_keras_serializable("keras_tickets")
class Singular(Basis):
    """The right singular vectors of given kernels, along their last axis.

    The norm of the coefficients of a unit (an index of the last axis) is a singular value. So the r
    units with the largest norms are the best approximation of rank r, which two factors can store
    in r · (rows + columns) weights.

    Coefficients are pruned by the root mean square of their unit. So whole units go, one after
    another; where a number of weights is no whole number of units, the last one goes in part.

    Args:
        weights: `{kernel path: array}`, the trained kernels. An array of more than two axes is
            taken as a matrix whose columns are the last axis. None: single weights until `fitted`
            is given the kernels, as `kt.trainers.RewindTrainer` does at each level.

    Example:

    ```python
    import keras_tickets as kt
    import numpy as np

    kernel = np.outer(np.arange(4), np.arange(3))
    coefficients = kt.bases.Singular({"fc/kernel": kernel}).forward("fc/kernel", kernel)
    assert np.allclose(coefficients[:, 1:], 0.0)  # a kernel of rank 1 is one unit
    ```
    """

    fixed = False

    def __init__(self, weights: Arrays | None = None):
        weights = weights or {}
        self._vectors = {path: _singular_vectors(value) for path, value in weights.items()}

    def matrices(self, path: str, shape: tuple[int, ...]) -> list[np.ndarray | None]:
        last = self._vectors[path] if self._vectors else None
        return [*[None] * (len(shape) - 1), last]

    def scores(self, coefficients: np.ndarray) -> np.ndarray:
        axes = tuple(range(coefficients.ndim - 1))
        squares = np.square(coefficients, dtype=np.float64)
        norms = np.sqrt(squares.mean(axis=axes, keepdims=True))
        return np.broadcast_to(norms, coefficients.shape)

    def fitted(self, weights: Arrays) -> "Singular":
        return Singular(weights)

    def of_kernels(self, paths: Iterable[str]) -> "Singular":
        kept = Singular()
        kept._vectors = {path: self._vectors[path] for path in paths if path in self._vectors}
        return kept

    def joined(self, other: Basis) -> Basis:
        if not isinstance(other, Singular):
            return super().joined(other)
        both = Singular()
        both._vectors = {**self._vectors, **other._vectors}
        return both

    def stored(self, mask: np.ndarray) -> int:
        units = mask.reshape(-1, mask.shape[-1]).any(axis=0)
        vectors = np.count_nonzero(units) * mask.shape[-1] if self._vectors else 0
        return int(np.count_nonzero(mask) + vectors)

    def get_config(self) -> dict[str, Any]:
        """The vectors of each kernel, as base64 of little-endian float64."""
        return {"vectors": {path: _encoded(value) for path, value in self._vectors.items()}}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Singular":
        basis = cls()
        basis._vectors = {path: _decoded(text) for path, text in config["vectors"].items()}
        return basis

    def __repr__(self) -> str:
        return f"Singular({', '.join(self._vectors)})"


def _singular_vectors(kernel):
    """The right singular vectors of a kernel as rows, that of the largest singular value first."""
    matrix = np.asarray(kernel, np.float64).reshape(-1, np.shape(kernel)[-1])
    ascending = np.linalg.eigh(matrix.T @ matrix).eigenvectors
    return ascending[:, ::-1].T


def _encoded(vectors):
    return base64.b64encode(vectors.astype("<f8").tobytes()).decode()


def _decoded(text):
    values = np.frombuffer(base64.b64decode(text, validate=True), "<f8")
    size = int(np.sqrt(values.size))
    return values.reshape(size, size)
