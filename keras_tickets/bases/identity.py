"""`Identity`: the basis of single weights."""

import keras
import numpy as np

from keras_tickets.bases.basis import Basis


@keras.saving.register_keras_serializable("keras_tickets")
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
