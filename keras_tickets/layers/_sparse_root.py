"""`SparseRoot`: a whole subclassed model as one sparse layer."""

import keras

from keras_tickets.layers.sparse import Sparse


@keras.saving.register_keras_serializable("keras_tickets")
class SparseRoot(Sparse):
    """A whole subclassed model as the one layer of a `kt.SparseModel`.

    The model's name is not part of the kernel paths: they are the same before and after wrapping.
    """

    hides_child_in_paths = True

    def build_from_config(self, config):
        """Waits for the call: shapes alone do not tell what a model is called with."""
        self._waits_for_call = True


def root_of(model: keras.Model) -> SparseRoot | None:
    """The one layer of a sparse model that stands for a subclassed one, otherwise `None`."""
    layers = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    return layers[0] if len(layers) == 1 and isinstance(layers[0], SparseRoot) else None
