"""Checks that all workers train the same network in the same way."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_tickets import masks

_WORDS = 4
_BITS = 24  # Integers of this size are exact in float32, which every device can add up.


def count_workers(strategy: tf.distribute.Strategy) -> int:
    """Number of processes that train together."""
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return 1
    cluster = strategy.cluster_resolver.cluster_spec().as_dict()
    return sum(len(tasks) for tasks in cluster.values()) or 1


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
        strategy = self.model.distribute_strategy
        workers = count_workers(strategy)
        if self._compared or workers == 1:
            return
        self._compared = True
        length = {"epochs": self.params["epochs"], "steps": self.params["steps"], "first": epoch}
        digests = {name: _digest(value) for name, value in _state(self.model, length).items()}
        found = _of_all_replicas(strategy, np.stack(list(digests.values())))
        found = found[:: len(found) // workers]
        differing = [
            f"{name} (worker {', '.join(map(str, others))})"
            for i, name in enumerate(digests)
            if (others := np.flatnonzero((found[:, i] != found[0, i]).any(-1)).tolist())
        ]
        if differing:
            raise ValueError(
                "Workers must train the same network in the same way. What differs from worker 0: "
                f"{'; '.join(differing)}. Build model, masks, optimizer and data with the same "
                "seeds and arguments on all workers."
            )


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


def _digest(value: Any) -> np.ndarray:
    """The first bits of a SHA-256, as integers in float32."""
    total = hashlib.sha256()
    if isinstance(value, dict) and any(isinstance(v, keras.Variable) for v in value.values()):
        for name, variable in value.items():
            array = np.ascontiguousarray(variable.numpy())
            total.update(f"{_without_numbers(name)}{array.dtype}{array.shape}".encode())
            total.update(array.tobytes())
    else:
        total.update(json.dumps(value, sort_keys=True, default=str).encode())
    size = _BITS // 8
    words = [total.digest()[i * size : (i + 1) * size] for i in range(_WORDS)]
    return np.array([int.from_bytes(word, "big") for word in words], "float32")


def _without_numbers(path: str) -> str:
    return "".join(letter for letter in path if not letter.isdigit())


def _of_all_replicas(strategy, values: np.ndarray) -> np.ndarray:
    """The values of every replica of every worker, shape (replicas, *values.shape)."""
    replicas = strategy.num_replicas_in_sync

    @tf.function
    def gather():
        def per_replica():
            context = tf.distribute.get_replica_context()
            row = tf.one_hot(context.replica_id_in_sync_group, replicas)
            own = tf.reshape(row, [replicas] + [1] * values.ndim) * tf.constant(values)
            return context.all_reduce(tf.distribute.ReduceOp.SUM, own)

        return strategy.run(per_replica)

    return strategy.experimental_local_results(gather())[0].numpy()
