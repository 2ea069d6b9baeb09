"""`Static`: a fixed mask."""

import keras

from keras_tickets.optimizers.sparse_optimizer import SparseOptimizer


@keras.saving.register_keras_serializable("keras_tickets")
class Static(SparseOptimizer):
    """Trains under a fixed mask: the baseline, and what tickets are retrained with.

    `kt.SparseModel.compile` puts a plain Keras optimizer into a `Static`.

    Args:
        inner: Keras optimizer, its name or its config; not built yet.
        track_exploration: Whether to record which weights were ever active, for `exploration`. It
            takes one byte per weight.
        name: Name of the optimizer.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    optimizer = kt.optimizers.Static(keras.optimizers.SGD(0.1, momentum=0.9))
    ```

    References:
        - [Evci et al., 2020, section 4](https://arxiv.org/abs/1911.11134), the rows "Static"
    """

    storages = ("masked", "sparse")
