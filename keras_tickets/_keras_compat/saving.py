"""Models made from their serialized configurations."""

import keras
from keras.src.backend.common import global_state

_UNINITIALIZED = "uninitialized_variables"


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
