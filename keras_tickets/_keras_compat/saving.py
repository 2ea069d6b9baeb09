"""Models made from their configurations; layers that are asked before a SavedModel is written."""

from typing import Any

import keras
from keras.src.backend.common import global_state
from keras.src.saving.serialization_lib import SafeModeScope

_UNINITIALIZED = "uninitialized_variables"


def trusted() -> SafeModeScope:
    """A scope in which configurations are taken that may run code, for those of living objects."""
    return SafeModeScope(safe_mode=False)


def made_without_weights(serialized: dict, classes: dict[str, type]) -> keras.Model:
    """The model of a serialized configuration, with variables that hold nothing."""
    waiting = global_state.get_global_attribute(_UNINITIALIZED)
    global_state.set_global_attribute(_UNINITIALIZED, [])
    try:
        with keras.StatelessScope(initialize_variables=False):
            return keras.saving.deserialize_keras_object(
                serialized, custom_objects=classes, safe_mode=False
            )
    finally:
        global_state.set_global_attribute(_UNINITIALIZED, waiting)


class AskedBeforeSavedModel:
    """A base of layers that may refuse to be part of a SavedModel.

    No public method is called when one is written, but TensorFlow asks each layer for its parts.
    """

    def check_saved_model(self) -> None:
        """Raises an error if the layer cannot be part of a SavedModel."""

    def _trackable_children(self, save_type: str = "checkpoint", **kwargs: Any) -> Any:
        if save_type == "savedmodel":
            self.check_saved_model()
        return super()._trackable_children(save_type, **kwargs)  # type: ignore[misc]
