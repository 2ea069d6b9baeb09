"""The Hessian of a model's loss, as products with vectors."""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from keras_tickets import _keras_compat
from keras_tickets._checks import check_integer, check_model
from keras_tickets._forward.loss import loss_of, mean_loss
from keras_tickets._forward.second_derivatives import second_gradient, twice_differentiable
from keras_tickets.analysis.batches import Data, batches, map_tensors
from keras_tickets.masks import whole_kernels


class Hessian:
    """The second derivatives of a model's mean loss, by its live weights.

    The space has a dimension for each trainable weight: those of masked kernels that are on their
    masks, and all others, such as biases and scales. A product is computed in graph by two backward
    passes, batch after batch, so that memory does not grow with the data. The loss is that of the
    data alone, without regularizers. The model runs in inference mode: batch normalization uses its
    moving statistics and dropout does nothing, so the function whose Hessian this is does not
    depend on the batches. The products follow the values of the weights as they change; the masks
    are those at the start.

    Args:
        model: Built Keras model, sparse or not, with one output.
        data: `(x, y)` as arrays, or an iterable of batches `(x, y)` that yields the same ones each
            time.
        loss: Keras loss, or its name; by default the one that the model was compiled with.
        batch_size: Size of the batches of arrays.

    Attributes:
        size: Number of live weights.

    Raises:
        TypeError: `model` is not a Keras 3 model.
        ValueError: No loss is known; there are no trainable weights; kernels are stored sparsely.
            In a product: TensorFlow lacks the second derivative of an operation of the model.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_tickets as kt

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
    x = np.array([[1.0, 0.0], [1.0, 2.0]])
    hessian = kt.analysis.Hessian(model, (x, np.zeros((2, 1))), "mse")
    assert np.allclose(hessian(np.array([1.0, 0.0])), [2.0, 2.0])  # x.T @ x is [[2, 2], [2, 4]]
    ```

    References:
        - [Pearlmutter, 1994, "Fast exact multiplication by the Hessian"
          ](https://doi.org/10.1162/neco.1994.6.1.147)
    """

    def __init__(
        self,
        model: keras.Model,
        data: Data,
        loss: Callable | str | None = None,
        *,
        batch_size: int = 256,
    ):
        check_model(model)
        self._data, self._batch_size = data, check_integer("batch_size", batch_size, low=1)
        records = whole_kernels(model, "The Hessian").values()
        found = {id(record.kernel): record.to_mask() for record in records}
        variables = model.trainable_variables
        self._masks = [found.get(id(v), np.ones(tuple(v.shape), bool)) for v in variables]
        self._types = [keras.backend.standardize_dtype(v.dtype) for v in variables]
        self.size = sum(int(np.count_nonzero(mask)) for mask in self._masks)
        if not self.size:
            raise ValueError(f"Model {model.name!r} has no trainable weights that are live.")
        self._products = _traced(model, variables, loss_of(model, loss))

    def __call__(self, vector: np.ndarray) -> np.ndarray:
        """The product with a vector.

        Args:
            vector: Array of shape (size,): a value for each live weight, weight by weight in the
                order of `model.trainable_variables`.

        Returns:
            float64 array of the same shape.

        Raises:
            ValueError: The vector has another shape; there is no data, or it has no targets.
        """
        vector = np.asarray(vector)
        if vector.shape != (self.size,):
            raise ValueError(
                f"`vector` must have the shape ({self.size},). Received: shape={vector.shape}"
            )
        directions = self._spread(vector)
        total, examples = np.zeros(self.size), 0
        for x, y in batches(self._data, self._batch_size):
            if y is None:
                raise ValueError("`data` must have targets: batches (x, y). Received: x alone")
            products = self._products(directions, map_tensors(x), tf.convert_to_tensor(y))
            total += len(y) * self._gather(products)
            examples += len(y)
        if not examples:
            raise ValueError("`data` has no examples.")
        return total / examples

    def _spread(self, vector):
        """The vector as tensors in the shapes of the weights, 0 off the masks."""
        ends = np.cumsum([np.count_nonzero(mask) for mask in self._masks])
        tensors = []
        for mask, part, dtype in zip(
            self._masks, np.split(vector, ends[:-1]), self._types, strict=True
        ):
            values = np.zeros(mask.shape)
            values[mask] = part
            tensors.append(tf.constant(values, dtype))
        return tensors

    def _gather(self, tensors):
        parts = [
            tensor.numpy()[mask].astype(np.float64)
            for tensor, mask in zip(tensors, self._masks, strict=True)
        ]
        return np.concatenate(parts)


def _traced(model, variables, loss):
    """A compiled function of directions and a batch: products with the Hessian of its mean loss."""

    @tf.function(reduce_retracing=True, autograph=False)
    def multiply(directions, x, y):
        values = [tf.convert_to_tensor(variable) for variable in variables]
        with tf.GradientTape() as outer:
            outer.watch(values)
            with tf.GradientTape() as inner:
                inner.watch(values)
                mapping = list(zip(variables, values, strict=True))
                with twice_differentiable(), _keras_compat.masked_scope(mapping, model):
                    outputs = model(x, training=False)
                result = mean_loss(loss, y, outputs)
            gradients = inner.gradient(result, values, unconnected_gradients="zero")
            slopes = [
                tf.reduce_sum(tf.cast(gradient * direction, result.dtype))
                for gradient, direction in zip(gradients, directions, strict=True)
            ]
            slope = tf.add_n(slopes)
        products = second_gradient(outer, slope, values)
        return [tf.convert_to_tensor(product) for product in products]  # embeddings' are sparse

    return multiply
