"""Which sets of weights a mask may leave, and how the best of them is chosen."""

import keras
import numpy as np
import tensorflow as tf

from keras_tickets import selection
from keras_tickets.distributions import nonzeros


@keras.saving.register_keras_serializable("keras_tickets")
class Unstructured:
    """Single weights, anywhere in a kernel.

    A structure turns scores into a mask: in graph where masks change during training (`choose`),
    and in NumPy where they are first drawn (`draw`). Both choose the highest scores exactly, ties
    by lowest flat index.

    Example:

    ```python
    import numpy as np
    import keras_tickets as kt

    mask = kt.structures.Unstructured().draw(np.array([[3.0, 1.0], [2.0, 2.0]]), 2)
    assert mask.tolist() == [[True, False], [True, False]]
    ```
    """

    def count(self, shape: tuple[int, ...], sparsity: float) -> int:
        """Number of weights that a sparsity leaves of a kernel.

        Args:
            shape: Shape of the kernel.
            sparsity: Share of zeros in [0, 1).

        Returns:
            The number of weights left; zeros are rounded down.
        """
        return nonzeros(int(np.prod(shape)), sparsity)

    def draw(self, scores: np.ndarray, count: int) -> np.ndarray:
        """The mask of the `count` highest scores.

        Args:
            scores: Array of the kernel's shape.
            count: Number of weights to leave.

        Returns:
            Boolean array of the same shape.
        """
        order = np.argsort(-scores, axis=None, kind="stable")
        mask = np.zeros(scores.size, dtype=bool)
        mask[order[:count]] = True
        return mask.reshape(scores.shape)

    def choose(
        self, scores: tf.Tensor, count: tf.Tensor, *, among: tf.Tensor, method: str
    ) -> tf.Tensor:
        """The mask of the `count` highest scores, in graph.

        Args:
            scores: float32 tensor of the kernel's shape.
            count: int32 scalar, number of weights to choose.
            among: Boolean tensor of the kernel's shape, where weights may be chosen.
            method: As in `selection.choose`.

        Returns:
            Boolean tensor of the kernel's shape.
        """
        return selection.choose(scores, count, among=among, method=method)

    def get_config(self) -> dict:
        return {}

    @classmethod
    def from_config(cls, config: dict) -> "Unstructured":
        return cls(**config)


def get(structure: Unstructured | None) -> Unstructured:
    """The structure, single weights for `None`.

    Raises:
        ValueError: `structure` is no structure.
    """
    if structure is None:
        return Unstructured()
    if not isinstance(structure, Unstructured):
        raise ValueError(
            "`structure` must be None or an object of kt.structures. Received: "
            f"structure={structure!r}"
        )
    return structure
