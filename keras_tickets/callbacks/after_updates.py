"""`AfterUpdates`: runs other callbacks once mask updates have ended."""

import keras


class AfterUpdates(keras.callbacks.Callback):
    """Passes to another callback only the epochs that end after the last update of the masks.

    It is for callbacks that look for the best epoch or lose patience: while a gradual method
    prunes, the best epoch tends to be an early, denser one. Wrap `keras.callbacks.EarlyStopping`,
    `ModelCheckpoint` with `save_best_only=True`, or `ReduceLROnPlateau`. Batches, tests, and the
    beginning and end of training are passed on from the start.

    Args:
        callback: A Keras callback that acts at the ends of epochs.

    Raises:
        TypeError: `callback` is not a Keras callback.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_tickets as kt

    dense = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    model = kt.sparsify(dense, 0.75)
    model.compile(kt.optimizers.GradualMagnitude("adam", update_every=1, end=0.5), "mse")
    stop = keras.callbacks.EarlyStopping("loss", patience=2, restore_best_weights=True)
    x, y = np.ones((32, 8)), np.ones((32, 4))
    model.fit(x, y, epochs=4, callbacks=[kt.callbacks.AfterUpdates(stop)], verbose=0)
    assert model.sparsity == 0.75
    ```
    """

    def __init__(self, callback: keras.callbacks.Callback):
        super().__init__()
        if not isinstance(callback, keras.callbacks.Callback):
            raise TypeError(f"`callback` must be a Keras callback. Received: callback={callback!r}")
        self.callback = callback

    def set_params(self, params):
        super().set_params(params)
        self.callback.set_params(params)

    def set_model(self, model):
        super().set_model(model)
        self.callback.set_model(model)

    def on_epoch_end(self, epoch, logs=None):
        if getattr(self.model.optimizer, "has_settled", True):  # a plain optimizer updates no masks
            self.callback.on_epoch_end(epoch, logs)

    def on_epoch_begin(self, epoch, logs=None):
        self.callback.on_epoch_begin(epoch, logs)

    def on_train_begin(self, logs=None):
        self.callback.on_train_begin(logs)

    def on_train_end(self, logs=None):
        self.callback.on_train_end(logs)

    def on_train_batch_begin(self, batch, logs=None):
        self.callback.on_train_batch_begin(batch, logs)

    def on_train_batch_end(self, batch, logs=None):
        self.callback.on_train_batch_end(batch, logs)

    def on_test_begin(self, logs=None):
        self.callback.on_test_begin(logs)

    def on_test_end(self, logs=None):
        self.callback.on_test_end(logs)
