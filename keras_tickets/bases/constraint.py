"""Training that keeps masked coefficients at 0, for any Keras model."""

import keras
import numpy as np

from keras_tickets._kernels.paths import weight_paths
from keras_tickets.bases.basis import Arrays, Basis, rotate, transposed


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
        coefficients = rotate(keras.ops, values, self._matrices)
        kept = keras.ops.where(self._mask, coefficients, 0.0)
        return keras.ops.cast(rotate(keras.ops, kept, transposed(self._matrices)), w.dtype)
