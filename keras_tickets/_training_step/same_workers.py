"""Checks that all workers train the same network in the same way."""

from collections.abc import Mapping
from typing import Any

import keras

from keras_tickets import masks
from keras_tickets._workers.workers import Workers

ADVICE = "Build model, masks, optimizer and data with the same seeds and arguments on all workers."


class SameOnAllWorkers(keras.callbacks.Callback):
    """Refuses to train if workers differ in what must be the same on all of them.

    It compares masks, weights, the optimizer's state and configuration, the loss, and the length of
    training. It does so when the first epoch begins, after other callbacks have restored what they
    keep. Workers exchange a digest of each, so that an error can name what differs.

    Raises:
        ValueError: In `fit`, on all workers.
    """

    def on_train_begin(self, logs=None):
        self._compared = False

    def on_epoch_begin(self, epoch, logs=None):
        workers = Workers(self.model.distribute_strategy)
        if self._compared or workers.count == 1:
            return
        self._compared = True
        length = {"epochs": self.params["epochs"], "steps": self.params["steps"], "first": epoch}
        workers.check_same(_state(self.model, length), ADVICE)


def _state(model: keras.Model, length: Mapping[str, Any]) -> dict[str, Any]:
    """What must be the same on all workers, by the name that errors give it."""
    found = {path: record.support for path, record in masks.kernels_by_path(model).items()}
    return {
        "masks": found,
        "weights": {weight.path: weight for weight in model.trainable_weights},
        "state of the optimizer": {
            f"{i}": variable for i, variable in enumerate(model.optimizer.variables)
        },
        "configuration of the optimizer": _described(model.optimizer),
        "loss": _described(model.loss),
        "epochs and steps per epoch": dict(length),
    }


def _described(value: Any) -> Any:
    """The configuration of an object, without the names that Keras numbers."""
    try:
        described = keras.saving.serialize_keras_object(value)
    except Exception:  # The user's own objects need not be serializable.
        return type(value).__name__
    return without_names(described)


def without_names(config: Any) -> Any:
    """A configuration without names, because Keras numbers these differently in each process."""
    if isinstance(config, list | tuple):
        return [without_names(part) for part in config]
    if not isinstance(config, dict):
        return config
    return {key: without_names(value) for key, value in config.items() if key != "name"}
