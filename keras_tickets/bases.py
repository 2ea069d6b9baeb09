"""Pruning in orthonormal bases: coefficients are pruned instead of single weights."""

import abc
import zlib
from collections.abc import Mapping

import keras
import numpy as np

from keras_tickets._checks import check_sparsity
from keras_tickets._kernels.paths import weight_paths
from keras_tickets._selection.counts import nonzeros
from keras_tickets._selection.ranking import highest

__all__ = [
    "Basis",
    "DCT",
    "Identity",
    "RandomOrthogonal",
    "Singular",
    "constrain",
    "magnitude_masks",
    "project",
]

Arrays = Mapping[str, np.ndarray]


class Basis(abc.ABC):
    """An orthonormal basis for kernels: a rotation along each of their axes.

    Rotations preserve lengths, so magnitudes of coefficients are comparable. SGD, with or without
    momentum, trains the coefficients as it trains the weights. Adam and similar optimizers do not.

    Subclasses define `matrices`.

    Example:

    ```python
    import keras_tickets as kt
    import numpy as np

    class Flipped(kt.bases.Basis):
        def matrices(self, path, shape):
            return [np.eye(size)[::-1] for size in shape]

    kernel = np.arange(6.0).reshape(2, 3)
    basis = Flipped()
    assert basis.forward("fc/kernel", kernel)[0, 0] == 5.0
    assert (basis.inverse("fc/kernel", basis.forward("fc/kernel", kernel)) == kernel).all()
    ```

    References:
        - [Alabdulmohsin et al., 2021, "A generalized lottery ticket
          hypothesis"](https://arxiv.org/abs/2107.06825)
    """

    @abc.abstractmethod
    def matrices(self, path: str, shape: tuple[int, ...]) -> list[np.ndarray | None]:
        """Returns one orthogonal matrix for each axis of a kernel; `None` for an unchanged axis.

        Args:
            path: Kernel path.
            shape: Shape of the kernel.
        """

    def forward(self, path: str, weights: np.ndarray) -> np.ndarray:
        """The coefficients of the kernel of this path: a float64 array of the same shape."""
        matrices = self.matrices(path, np.shape(weights))
        return _rotate(np, np.asarray(weights, np.float64), matrices)

    def inverse(self, path: str, coefficients: np.ndarray) -> np.ndarray:
        """The kernel of this path that has these coefficients, in float64."""
        matrices = _transposed(self.matrices(path, np.shape(coefficients)))
        return _rotate(np, np.asarray(coefficients, np.float64), matrices)


class Identity(Basis):
    """The basis of single weights: ordinary pruning.

    Example:

    ```python
    import keras_tickets as kt
    import numpy as np

    kernel = np.arange(6.0).reshape(2, 3)
    assert (kt.bases.Identity().forward("fc/kernel", kernel) == kernel).all()
    ```
    """

    def matrices(self, path: str, shape: tuple[int, ...]) -> list[np.ndarray | None]:
        return [None] * len(shape)


class DCT(Basis):
    """The discrete cosine transform (type II) along every axis.

    Example:

    ```python
    import keras_tickets as kt
    import numpy as np

    coefficients = kt.bases.DCT().forward("fc/kernel", np.ones((4, 4)))
    assert np.isclose(coefficients[0, 0], 4.0)  # a constant kernel has one coefficient
    assert np.allclose(coefficients.ravel()[1:], 0.0)
    ```
    """

    def matrices(self, path: str, shape: tuple[int, ...]) -> list[np.ndarray | None]:
        return [self._matrix(size) for size in shape]

    def _matrix(self, size):
        rows, columns = np.arange(size)[:, None], np.arange(size)[None]
        matrix = np.sqrt(2 / size) * np.cos(np.pi * (2 * columns + 1) * rows / (2 * size))
        matrix[0] /= np.sqrt(2)
        return matrix


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
        self.seed = seed

    def matrices(self, path: str, shape: tuple[int, ...]) -> list[np.ndarray | None]:
        generator = np.random.default_rng([zlib.crc32(path.encode()), self.seed])
        return [self._matrix(generator, size) for size in shape]

    def _matrix(self, generator, size):
        q, r = np.linalg.qr(generator.normal(size=(size, size)))
        return q * np.sign(np.diag(r))


class Singular(Basis):
    """The right singular vectors of given kernels, along their last axis.

    The norm of the coefficients of a unit (an index of the last axis) is a singular value. So the r
    units with the largest norms are the best approximation of rank r, which two factors can store
    in r · (rows + columns) weights.

    Args:
        weights: `{kernel path: array}`, the trained kernels. An array of more than two axes is
            taken as a matrix whose columns are the last axis.

    Example:

    ```python
    import keras_tickets as kt
    import numpy as np

    kernel = np.outer(np.arange(4), np.arange(3))
    coefficients = kt.bases.Singular({"fc/kernel": kernel}).forward("fc/kernel", kernel)
    assert np.allclose(coefficients[:, 1:], 0.0)  # a kernel of rank 1 is one unit
    ```
    """

    def __init__(self, weights: Arrays):
        self._vectors = {path: _singular_vectors(value) for path, value in weights.items()}

    def matrices(self, path: str, shape: tuple[int, ...]) -> list[np.ndarray | None]:
        return [*[None] * (len(shape) - 1), self._vectors[path]]


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


def constrain(model: keras.Model, masks: Arrays, basis: Basis) -> None:
    """Makes training keep masked coefficients at 0, by projecting kernels after every step.

    It sets the constraint of each kernel variable. Keras's optimizers apply it in graph, and it is
    not saved. After a change of masks, call this again and compile the model again.

    Args:
        model: Built Keras model, or a `kt.SparseModel` whose own masks are all `True`.
        masks: `{kernel path: boolean array}` over the coefficients.
        basis: The basis.

    Raises:
        ValueError: The model has no weight of a path, or a shape differs. Nothing is changed then.

    Example:

    ```python
    import keras
    import keras_tickets as kt
    import numpy as np

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, name="fc")])
    basis = kt.bases.DCT()
    masks = kt.bases.magnitude_masks({"fc/kernel": model.get_weights()[0]}, basis, density=0.25)
    kt.bases.constrain(model, masks, basis)
    model.compile("sgd", "mse")
    model.fit(np.ones((8, 8)), np.ones((8, 4)), verbose=0)
    coefficients = basis.forward("fc/kernel", model.get_weights()[0])
    assert np.allclose(coefficients[~masks["fc/kernel"]], 0.0, atol=1e-6)
    ```
    """
    variables = weight_paths(model)
    for path, mask in masks.items():
        if path not in variables or tuple(variables[path].shape) != np.shape(mask):
            shape = tuple(variables[path].shape) if path in variables else "no weight"
            raise ValueError(f"Mask {path!r} has shape {np.shape(mask)}; in the model: {shape}.")
    for path, mask in masks.items():
        variables[path].constraint = _Projection(mask, basis.matrices(path, np.shape(mask)))
        variables[path].assign(variables[path].constraint(variables[path]))


class _Projection(keras.constraints.Constraint):
    def __init__(self, mask, matrices):
        self._mask = np.asarray(mask, bool)
        self._matrices = [m if m is None else m.astype(np.float32) for m in matrices]

    def __call__(self, w):
        values = keras.ops.cast(w, "float32")
        coefficients = _rotate(keras.ops, values, self._matrices)
        kept = keras.ops.where(self._mask, coefficients, 0.0)
        return keras.ops.cast(_rotate(keras.ops, kept, _transposed(self._matrices)), w.dtype)


def _singular_vectors(kernel):
    """The right singular vectors of a kernel as rows, that of the largest singular value first."""
    matrix = np.asarray(kernel, np.float64).reshape(-1, np.shape(kernel)[-1])
    ascending = np.linalg.eigh(matrix.T @ matrix).eigenvectors
    return ascending[:, ::-1].T


def _rotate(ops, values, matrices):
    for axis, matrix in enumerate(matrices):
        if matrix is not None:
            values = ops.moveaxis(ops.tensordot(matrix, values, axes=[[1], [axis]]), 0, axis)
    return values


def _transposed(matrices):
    return [matrix if matrix is None else matrix.T for matrix in matrices]


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
