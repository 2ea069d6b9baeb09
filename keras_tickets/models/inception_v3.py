"""Inception-v3."""

import keras
from keras import layers

from keras_tickets.layers.fused_batch_normalization import FusedBatchNormalization
from keras_tickets.models.initialization import Initializer, seeded
from keras_tickets.models.residual import check_image_shape

SHORTEST = 75


def inception_v3(
    input_shape: tuple[int, int, int] = (299, 299, 3),
    classes: int = 1000,
    *,
    fused_batch_norm: bool = True,
    kernel_initializer: Initializer = "he_normal",
    seed: int | None = None,
) -> keras.Model:
    """Inception-v3: 94 convolutions and a dense layer; 23,799,136 weights in kernels.

    The graph is that of `keras.applications.InceptionV3`, without the auxiliary classifier that the
    published network has in training. Batch normalization has no scale, and averages with momentum
    0.9.

    Args:
        input_shape: (height, width, channels) of one image; each side at least 75.
        classes: Number of output units.
        fused_batch_norm: Whether to use `kt.layers.FusedBatchNormalization`, which computes the
            same as Keras's layer in less time. False: `keras.layers.BatchNormalization`.
        kernel_initializer: Keras initializer of every kernel; the output bias starts at zero.
        seed: Makes the initial weights a function of this integer alone. None: Keras's global seed.

    Returns:
        A built `keras.Model` from (batch, *input_shape) to logits of shape (batch, classes).
        Kernel paths: `conv1/kernel` to `conv94/kernel`, `logits/kernel`.

    Raises:
        ValueError: `input_shape` is not the shape of such an image.

    Example:

    ```python
    import keras_tickets as kt

    assert kt.models.inception_v3((75, 75, 3), classes=10).output_shape == (None, 10)
    ```

    References:
        Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", CVPR 2016
        (arXiv 1512.00567), table 1.
        Frankle et al., "Stabilizing the Lottery Ticket Hypothesis" (arXiv 1903.01611v3).
    """
    check_image_shape(input_shape)
    if min(input_shape[:2]) < SHORTEST:
        raise ValueError(
            f"`input_shape` of inception_v3 must have sides of at least {SHORTEST}. Received: "
            f"input_shape={input_shape!r}"
        )
    network = keras.applications.InceptionV3(
        weights=None, input_shape=input_shape, classes=classes, classifier_activation=None
    )
    names = _names(network)

    def renamed(layer):
        config = {**layer.get_config(), "name": names[layer.name]}
        if isinstance(layer, layers.Conv2D | layers.Dense):
            config["kernel_initializer"] = seeded(kernel_initializer, seed, config["name"])
        if isinstance(layer, layers.BatchNormalization):
            config["momentum"] = 0.9
            if fused_batch_norm:
                return FusedBatchNormalization.from_config(config)
        return type(layer).from_config(config)

    clone = keras.models.clone_model(network, clone_function=renamed)
    return keras.Model(clone.inputs, clone.outputs[0], name="inception_v3")


def _names(network: keras.Model) -> dict[str, str]:
    """Names of layers that do not depend on what was built before."""
    names, counts = {}, dict.fromkeys((layers.Conv2D, layers.BatchNormalization), 0)
    others = 0
    for layer in network.layers:
        if type(layer) in counts:
            counts[type(layer)] += 1
            suffix = "_norm" if isinstance(layer, layers.BatchNormalization) else ""
            names[layer.name] = f"conv{counts[type(layer)]}{suffix}"
        else:
            others += 1
            names[layer.name] = f"{type(layer).__name__.lower()}{others}"
    return {**names, network.layers[-1].name: "logits"}
