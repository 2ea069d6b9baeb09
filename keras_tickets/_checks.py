"""Checks of a user's model."""

import keras

from keras_tickets import _keras_compat

_KERAS_2 = ("tf_keras", "tensorflow")


def check_model(model: keras.Model) -> keras.Model:
    """Checks that a model is a Keras 3 model and built.

    Args:
        model: What the user gave.

    Returns:
        The model.

    Raises:
        TypeError: It is not a Keras 3 model.
        ValueError: It is not built.
    """
    if not isinstance(model, keras.Model):
        kind = type(model)
        keras_2 = any(base.__module__.split(".")[0] in _KERAS_2 for base in kind.__mro__)
        advice = "Keras 2 models do not work: build it with `import keras`. " if keras_2 else ""
        raise TypeError(
            f"`model` must be a keras.Model of Keras 3. {advice}"
            f"Received: an object of class {kind.__module__}.{kind.__qualname__}"
        )
    layers = _keras_compat.all_layers(model)
    built = model.built or model.get_build_config()
    if not built or not model.weights and any(not layer.built for layer in layers):
        raise ValueError(
            f"Model {model.name!r} is not built: its kernels do not exist yet. Start it with "
            "keras.Input, or call it on a batch."
        )
    return model
