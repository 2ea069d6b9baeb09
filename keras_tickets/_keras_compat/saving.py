"""Models made from their serialized configurations."""

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
