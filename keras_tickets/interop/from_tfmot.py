"""`kt.interop.from_tfmot`: models pruned with tensorflow-model-optimization in Keras 3.

Importing that library switches `tf.keras` to Keras 2, so it is imported to read files only.
"""

import os
import re
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_tickets._files.home import expand_home
from keras_tickets._kernels.find import all_kernels
from keras_tickets._optional import import_optional
from keras_tickets.interop.legacy_keras import Translation
from keras_tickets.masks import set_masks
from keras_tickets.model import SparseModel, sparsify

_QUANTIZED = "convert the model from before quantization-aware training"
_WRAPPERS = {
    "ClusterWeights": "call `strip_clustering` of the library first",
    "QuantizeAnnotate": _QUANTIZED,
    "QuantizeLayer": _QUANTIZED,
    "QuantizeWrapper": _QUANTIZED,
    "QuantizeWrapperV2": _QUANTIZED,
}


def from_tfmot(
    model: Any, custom_objects: Mapping[str, type[keras.layers.Layer]] | None = None
) -> SparseModel:
    """Converts a model pruned with tensorflow-model-optimization (tfmot) to a `kt.SparseModel`.

    Layers are translated one by one from Keras 2 to Keras 3; weights and `trainable` flags are
    copied. Each kernel in a `PruneLowMagnitude` wrapper gets that wrapper's mask. A model without
    wrappers, as returned by `strip_pruning`, shows its masks as zeros: each kernel or embedding
    that contains zeros is masked where it is 0. A dense model gets no masks.

    The result is not compiled. Optimizer state, pruning schedules, pruning steps and the states of
    stateful recurrent layers are not converted: pass the schedule to
    `kt.optimizers.GradualMagnitude` to continue pruning. N:M and block structures are in the masks,
    but further training does not preserve them. The wrapper of an `Embedding(mask_zero=True)` drops
    its padding mask; `strip_pruning` and this function restore it.

    Args:
        model: Built functional or Sequential model of `tf_keras`, nested or not; it is left
            unchanged. Or the path of one saved as `.keras`, `.h5` or SavedModel, without classes of
            your own; no Python code in the file is run. Reading it imports tfmot, which makes
            `tf.keras` Keras 2 in this process.
        custom_objects: `{Keras 2 class name: Keras 3 layer class}` for your own layers and those
            that Keras 3 lacks. The class must take the configuration of the old one and create its
            weights in the same order.

    Returns:
        A `kt.SparseModel` with the outputs of `model`, to float rounding, and its masks by kernel
        path.

    Raises:
        TypeError: `model` is neither a Keras 2 model nor a path; or `custom_objects` is not a dict
            of layer classes.
        ValueError: There is no such file or it cannot be read; the model is subclassed or not
            built; a layer does something that Keras 3 does not, or is wrapped for clustering or
            quantization, which the message names.

    Example:

    ```python
    import keras_tickets as kt
    import numpy as np
    import tf_keras

    layers = [tf_keras.layers.Dense(8, "relu", input_shape=(4,)), tf_keras.layers.Dense(2)]
    legacy = tf_keras.Sequential(layers)
    model = kt.interop.from_tfmot(legacy)
    images = np.ones((3, 4), "float32")
    np.testing.assert_allclose(model(images), legacy(images), rtol=1e-5)
    ```

    References:
        - [The library's guide](https://www.tensorflow.org/model_optimization/guide/pruning)
    """
    legacy = _load(model) if isinstance(model, str | os.PathLike) else _check(model)
    _check_wrappers(legacy)
    translation = Translation(_unwrap, custom_objects)
    plain = translation.model(legacy)
    found = _masks(_masked_variables(legacy, translation.layers), plain)
    if found:
        shares = {f"^{re.escape(path)}$": _share(mask) for path, mask in found.items()}
        sparse_model = sparsify(
            plain, shares, filters=found.__contains__, mask="ones", in_place=True
        )
        set_masks(sparse_model, found)
    else:
        sparse_model = SparseModel(plain)
    for source, target in translation.layers:
        if not source.trainable:
            target.trainable = False
    return sparse_model


def _check(model):
    if "tf_keras" not in _modules(model) or not hasattr(model, "layers"):
        raise TypeError(
            "`model` must be a Keras 2 model (of tf_keras, or of tf.keras with tfmot) or the path "
            "of a saved one; a Keras 3 model needs no conversion: `kt.sparsify`. Received: an "
            f"object of class {type(model).__module__}.{type(model).__qualname__}"
        )
    return model


def _load(path):
    path = expand_home(path)
    if not path.exists():
        raise ValueError(f"`model`: there is no file {str(path)!r}")
    purpose = "Models of tensorflow-model-optimization"
    tf_keras = import_optional("tf_keras", "tf-keras", purpose)
    package = "tensorflow-model-optimization"
    tfmot = import_optional("tensorflow_model_optimization", package, purpose)
    from tf_keras.src.saving.serialization_lib import SafeModeScope

    try:
        # For other files than `.keras`, `load_model` may run code.
        with tfmot.sparsity.keras.prune_scope(), SafeModeScope(safe_mode=True):
            return _check(tf_keras.models.load_model(path, compile=False))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"`model`: {str(path)!r} cannot be read as a saved Keras 2 model: "
            f"{str(error).rstrip('. ')}. Load a model with classes of your own with "
            "`tf_keras.models.load_model` and pass the model; one that Keras 3 has saved needs no "
            "conversion: `keras.models.load_model`."
        ) from error


def _check_wrappers(legacy):
    """Raises an error if there are wrappers of the library that have no counterpart here."""
    pruned = {id(layer) for layer in _flat(legacy)}
    for layer in legacy.submodules:
        kind = type(layer).__name__
        reason = _WRAPPERS.get(kind) if "tensorflow_model_optimization" in _modules(layer) else None
        if _is_wrapper(layer) and id(layer) not in pruned:
            reason = "it is inside another layer, where its mask cannot be converted"
        if reason:
            raise ValueError(f"`model`: layer {layer.name!r} ({kind}) has no counterpart: {reason}")


def _modules(layer):
    return {cls.__module__.partition(".")[0] for cls in type(layer).__mro__}


def _is_wrapper(layer):
    return any(cls.__name__ == "PruneLowMagnitude" for cls in type(layer).__mro__)


def _unwrap(layer):
    return layer.layer if _is_wrapper(layer) else layer


def _masked_variables(legacy, layers):
    """`{id of a Keras 3 kernel: mask}` of the wrapped kernels; `None` if nothing is wrapped."""
    wrappers = [layer for layer in _flat(legacy) if _is_wrapper(layer)]
    if not wrappers:
        return None
    targets = {id(source): target for source, target in layers}
    masks = {}
    for wrapper in wrappers:
        ours = targets[id(wrapper.layer)].weights
        index = {id(variable): i for i, variable in enumerate(wrapper.layer.weights)}
        for kernel, mask, _ in wrapper.pruning_vars:
            masks[id(ours[index[id(kernel)]])] = mask.numpy() != 0
    return masks


def _flat(model):
    for layer in model.layers:
        yield from _flat(layer) if hasattr(layer, "layers") else [layer]


def _masks(by_variable, plain):
    """`{kernel path: mask}`."""
    kernels = all_kernels(plain)
    if by_variable is not None:
        return {
            k.path: by_variable[id(k.variable)] for k in kernels if id(k.variable) in by_variable
        }
    nonzero = {kernel.path: kernel.variable.numpy() != 0 for kernel in kernels}
    return {path: mask for path, mask in nonzero.items() if mask.any() and not mask.all()}


def _share(mask):
    return 1 - max(np.count_nonzero(mask), 1) / mask.size
