"""The share of examples for which two models predict different classes."""

from typing import Any

import keras
import numpy as np

from keras_tickets._checks import check_integer, check_model
from keras_tickets.analysis.batches import Data, batches, without_targets


def disagreement(
    model_a: keras.Model, model_b: keras.Model, data: Data | np.ndarray, *, batch_size: int = 256
) -> float:
    """The share of examples for which two models predict different classes.

    Args:
        model_a: Classifier with one output of shape (batch, …, classes): scores, logits or
            probabilities of at least two classes.
        model_b: Another with outputs of the same shape.
        data: Array of inputs, or a dict of them; `(x, y)`; or an iterable of batches `(x, y)`.
            Targets are ignored.
        batch_size: Size of the batches of arrays.

    Returns:
        A number in [0, 1]; 0 for a model and itself.

    Raises:
        TypeError: `data` has an unsupported type.
        ValueError: There is no data; the outputs have fewer than two classes, or their shapes
            differ.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_tickets as kt

    models = [keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)]) for _ in range(2)]
    assert 0 <= kt.analysis.disagreement(*models, np.random.normal(size=(32, 8))) <= 1
    ```

    References:
        - [Frankle et al., 2020, "Linear mode connectivity and the lottery ticket hypothesis",
          appendix G](https://arxiv.org/abs/1912.05671)
    """
    check_model(model_a, "model_a")
    check_model(model_b, "model_b")
    check_integer("batch_size", batch_size, low=1)
    different = total = 0
    for x, _ in batches(without_targets(data), batch_size):
        outputs = [model(x, training=False) for model in (model_a, model_b)]
        shapes: list[tuple] = [getattr(output, "shape", ()) for output in outputs]
        if shapes[0] != shapes[1] or len(shapes[0]) < 2 or shapes[0][-1] < 2:
            raise ValueError(
                "Both models must have one output of the same shape (batch, …, classes), of two "
                f"classes or more. Received: {_describe(outputs[0])} and {_describe(outputs[1])}"
            )
        a, b = (keras.ops.convert_to_numpy(output).argmax(axis=-1) for output in outputs)
        different += int(np.count_nonzero(a != b))
        total += a.size
    if not total:
        raise ValueError("`data` has no examples.")
    return different / total


def _describe(outputs: Any) -> str:
    if hasattr(outputs, "shape"):
        return str(tuple(outputs.shape))
    return f"{len(keras.tree.flatten(outputs))} outputs in a {type(outputs).__name__}"
