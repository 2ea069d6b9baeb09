"""Dense gradients: gradients of whole kernels, by which methods such as RigL grow."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from keras_tickets._sparse_storage import OuterProduct
from keras_tickets.layers._masked_values import collect_masked_values
from keras_tickets.masks import record_of

__all__ = ["DenseGradientTape"]


class DenseGradientTape(tf.GradientTape):
    """A `tf.GradientTape` that also gives the dense gradients of masked kernels.

    The dense gradient of a kernel is the gradient of the loss with respect to the masked kernel
    that the layers compute with. It has values for weights off the mask too, and comes from the
    same backward pass. Use the tape in training loops of your own; `fit` uses it automatically.

    Args:
        persistent: Whether gradients can be taken more than once, as in `tf.GradientTape`.
        watch_accessed_variables: Whether trainable variables are watched when they are read, as in
            `tf.GradientTape`.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_tickets as kt

    x, y = np.ones((8, 4), "float32"), np.ones((8, 2), "float32")
    model = kt.sparsify(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]), 0.5)
    optimizer = kt.optimizers.RigL("sgd", update_every=10, end=1000)
    with kt.DenseGradientTape() as tape:
        loss = keras.ops.mean((model(x, training=True) - y) ** 2)
    gradients, dense = tape.gradients(loss, model.trainable_variables)
    optimizer.apply(gradients, model.trainable_variables, dense_gradients=dense)
    ```
    """

    def __enter__(self):
        self._collecting = collect_masked_values()
        self._masked = self._collecting.__enter__()
        return super().__enter__()

    def __exit__(self, *failure):
        super().__exit__(*failure)
        self._collecting.__exit__(*failure)

    def gradients(
        self, target: tf.Tensor, variables: Sequence[keras.Variable]
    ) -> tuple[list[tf.Tensor | None], list[tf.Tensor | OuterProduct | None]]:
        """The gradients and the dense gradients of a loss.

        Args:
            target: The loss, a scalar.
            variables: Trainable variables of models that were called under the tape.

        Returns:
            A list of gradients and a list of dense gradients, each with an entry for each variable.
            An entry is `None` if the loss does not depend on the variable; a dense gradient also if
            the variable has no mask. For the values of a kernel that is stored sparsely, the dense
            gradient is an `OuterProduct`.
        """
        records = [record_of(variable) for variable in variables]
        calls = [self._masked.get(record, []) if record else [] for record in records]
        values = [getattr(variable, "value", variable) for variable in variables]
        watched = [[tensors[0] for tensors in each] for each in calls]
        gradients, parts = self.gradient(target, (values, watched))
        return gradients, [_dense_gradient(*each) for each in zip(calls, parts, strict=True)]


def _dense_gradient(calls, parts):
    """The sum over the calls of a layer; for a sparse kernel, as the two factors of a product."""
    used = [
        (*tensors[1:], tf.convert_to_tensor(part))
        for tensors, part in zip(calls, parts, strict=True)
        if part is not None
    ]
    if not used:
        return None
    if len(used[0]) == 1:
        return tf.add_n([part for (part,) in used])
    inputs, gradients = zip(*used, strict=True)
    return OuterProduct(tf.concat(inputs, 0), tf.concat(gradients, 0))
