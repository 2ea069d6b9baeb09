"""The Lanczos algorithm: eigenvalues of a symmetric operator from its products with vectors."""

import dataclasses
from collections.abc import Callable

import numpy as np

from keras_tickets._checks import check_integer, check_number, check_seed

Product = Callable[[np.ndarray], np.ndarray]
# A residual that is smaller than this share of the operator's norm is rounding.
NEGLIGIBLE = 1e-12


@dataclasses.dataclass(frozen=True, eq=False)
class Lanczos:
    """The eigenvalues of a symmetric operator as one run of Lanczos sees them.

    Attributes:
        values: (steps,) approximate eigenvalues, the largest first.
        errors: (steps,) the operator has an eigenvalue within this distance of each. The rounding
            of the products counts as far as it shows: by as much as they are not symmetric.
        weights: (steps,) share of the spectrum that each value stands for; they add up to 1.

    Example:

    ```python
    import numpy as np
    import keras_tickets as kt

    found = kt.analysis.lanczos(lambda vector: np.arange(5) * vector, size=5, steps=5)
    assert np.allclose(found.values, [4, 3, 2, 1, 0])
    ```
    """

    values: np.ndarray
    errors: np.ndarray
    weights: np.ndarray

    def density(self, points: np.ndarray, width: float) -> np.ndarray:
        """The density of eigenvalues: a sum of normal distributions around `values`.

        Args:
            points: Array of the places at which it is computed.
            width: Positive standard deviation of each of the distributions.

        Returns:
            float64 array of the shape of `points`. The integral over all places is 1.
        """
        width = check_number("width", width, "(0, inf)")
        distances = (np.asarray(points, np.float64)[..., None] - self.values) / width
        heights = np.exp(-(distances**2) / 2) / (width * np.sqrt(2 * np.pi))
        return heights @ self.weights


def lanczos(product: Product, size: int, steps: int, *, seed: int = 0) -> Lanczos:
    """Runs Lanczos with full reorthogonalization from a random direction.

    The largest and the smallest eigenvalues converge first; those in the middle are summarized. The
    run ends early if the vectors span a space that the operator does not leave.

    Args:
        product: Function of a float64 array of shape (size,) that returns the operator's product
            with it, in the same shape.
        size: Dimension of the space.
        steps: Number of products; no more than `size` are made. The vectors take `steps * size * 8`
            bytes of memory.
        seed: Non-negative integer, for the direction, which is uniform on the sphere.

    Returns:
        Values, errors and weights.

    Raises:
        ValueError: An argument is out of range, or a product is not finite.

    Example:

    ```python
    import numpy as np
    import keras_tickets as kt

    matrix = np.diag([5.0, 1.0, -3.0]) + 0.1
    found = kt.analysis.lanczos(matrix.dot, size=3, steps=3)
    assert np.allclose(found.values, np.linalg.eigvalsh(matrix)[::-1])
    ```

    References:
        - [Golub and Welsch, 1969, "Calculation of Gauss quadrature rules"
          ](https://doi.org/10.1090/S0025-5718-69-99647-1), for the weights
        - [Ghorbani et al., 2019, "An investigation into neural net optimization via Hessian
          eigenvalue density"](https://arxiv.org/abs/1901.10159)
    """
    check_integer("size", size, low=1)
    check_integer("steps", steps, low=1)
    vector = np.random.default_rng(check_seed(seed)).normal(size=size)
    vector /= np.linalg.norm(vector)
    steps = min(steps, size)
    basis = np.zeros((steps, size))
    diagonal, residuals, asymmetry = np.zeros(steps), np.zeros(steps), 0.0
    for i in range(steps):
        basis[i] = vector
        vector = np.asarray(product(vector), np.float64)
        if not np.isfinite(vector).all():
            raise ValueError("A product with the operator is not finite: the loss may not be.")
        shares = basis[: i + 1] @ vector
        diagonal[i] = shares[i]
        # A symmetric operator takes a vector only to itself and its two neighbors.
        asymmetry = max(asymmetry, float(np.linalg.norm(shares[: max(i - 1, 0)])))
        # Twice is enough: what is left of the earlier vectors is then rounding.
        for _ in range(2):
            vector = vector - basis[: i + 1].T @ (basis[: i + 1] @ vector)
        residuals[i] = np.linalg.norm(vector)
        if residuals[i] <= NEGLIGIBLE * max(np.abs(diagonal).max(), residuals.max()):
            residuals[i] = 0.0
            steps = i + 1
            break
        vector = vector / residuals[i]
    return _eigenvalues(diagonal[:steps], residuals[:steps], asymmetry)


def _eigenvalues(diagonal, residuals, asymmetry) -> Lanczos:
    beside = residuals[:-1]
    values, vectors = np.linalg.eigh(np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1))
    order = np.argsort(-values, kind="stable")
    errors = np.abs(residuals[-1] * vectors[-1]) + asymmetry
    return Lanczos(values[order], errors[order], vectors[0, order] ** 2)
