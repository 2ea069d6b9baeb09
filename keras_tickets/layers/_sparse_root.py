"""`SparseRoot`: a whole subclassed model as one sparse layer."""

import keras

from keras_tickets.layers.sparse import Sparse


@keras.saving.register_keras_serializable("keras_tickets")
class SparseRoot(Sparse):
    """A whole subclassed model as the one layer of a `kt.SparseModel`.

    The name of the model is not part of the kernel paths, so that they are the same before and
    after wrapping.
    """

    hides_child_in_paths = True

    def build_from_config(self, config):
        """Leaves building to the first call: shapes alone do not say how the model is called."""
        self._waits_for_call = True


def root_of(model: keras.Model) -> SparseRoot | None:
    """The layer that holds the whole subclassed model, if a sparse model consists of one."""
    layers = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    return layers[0] if len(layers) == 1 and isinstance(layers[0], SparseRoot) else None
