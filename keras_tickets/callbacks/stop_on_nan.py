"""Stopping with an error when the loss is not finite."""

import math

import keras


class StopOnNaN(keras.callbacks.Callback):
    """Stops training with an error that names the step where the loss became NaN or infinite.

    `keras.callbacks.TerminateOnNaN` ends `fit` without an error, and later callbacks save the
    broken model. This one raises, so that nothing is saved: put it before callbacks that save.

    Raises:
        ValueError: In `fit`, after the call of the training step in which the loss became NaN or
            infinite. With `steps_per_execution=k` the error names the k steps of that call.

    Example:

    ```python
    import keras
    import keras_tickets as kt
    import numpy as np

    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    stop = kt.callbacks.StopOnNaN()
    try:
        model.fit(np.full((4, 1), np.nan), np.zeros((4, 1)), callbacks=[stop], verbose=0)
    except ValueError as error:
        print(error)  # the loss is nan at optimizer step 1 (epoch 1)
    ```
    """

    def on_train_begin(self, logs=None):
        self._epoch = 0
        self._step = self._steps_taken()

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch + 1

    def on_train_batch_end(self, batch, logs=None):
        first, self._step = self._step + 1, self._steps_taken()
        loss = (logs or {}).get("loss", 0.0)
        if math.isfinite(loss):
            return
        where = f"optimizer step {self._step}"
        if first < self._step:
            where = f"one of the optimizer steps {first} to {self._step}"
        raise ValueError(f"the loss is {loss} at {where} (epoch {self._epoch})")

    def _steps_taken(self) -> int:
        return int(self.model.optimizer.iterations.numpy())
