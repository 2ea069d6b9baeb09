"""`DCT`: the discrete cosine transform."""

import keras
import numpy as np

from keras_tickets.bases.basis import Basis


@keras.saving.register_keras_serializable("keras_tickets")
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
        return [_matrix(size) for size in shape]


def _matrix(size):
    rows, columns = np.arange(size)[:, None], np.arange(size)[None]
    matrix = np.sqrt(2 / size) * np.cos(np.pi * (2 * columns + 1) * rows / (2 * size))
    matrix[0] /= np.sqrt(2)
    return matrix
