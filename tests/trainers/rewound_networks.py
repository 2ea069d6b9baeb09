"""The network that tests of rewinding train, and how."""

import keras
import numpy as np
from networks import LOSS, mlp

import keras_tickets as kt

STEPS, EPOCHS = 6, 3
RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 8)).astype("float32")
Y = (X[:, 0] + X[:, 1] > 0).astype("int32") + 2 * (X[:, 2] > 0).astype("int32")
SCHEDULE = keras.optimizers.schedules.PiecewiseConstantDecay([7, 13], [0.1, 0.05, 0.01])


def network(seed=0):
    norm = keras.layers.BatchNormalization
    return mlp(8, (12,), 4, norm=norm, dropout=0.1, seed=seed)


def trainer(model=None, optimizer=None, compiled=None, **arguments):
    arguments = {"levels": 2, "rewind_to": "8it", **arguments}
    made = kt.trainers.RewindTrainer(model or network(), **arguments)
    optimizer = optimizer or keras.optimizers.SGD(SCHEDULE, momentum=0.9)
    made.compile(optimizer, LOSS, metrics=["accuracy"], **(compiled or {}))
    return made


def fit(made, callbacks=(), **arguments):
    arguments = {"epochs": EPOCHS, "batch_size": 10, "validation_data": (X, Y), **arguments}
    return made.fit(X, Y, verbose=0, callbacks=callbacks, **arguments)


def without_time(rows):
    drop = {"seconds"}
    return [
        {
            k: without_time(v.values()) if k == "controls" else v
            for k, v in r.items()
            if k not in drop
        }
        for r in rows
    ]


class Spy(keras.callbacks.Callback):
    """Remembers what each call of `fit` starts from, and with which learning rates it steps."""

    def __init__(self):
        super().__init__()
        self.starts, self.rates, self.steps = [], [], []

    def on_train_begin(self, logs=None):
        optimizer = self.model.optimizer
        weights = kt.weight_paths(self.model)
        self.starts.append(
            {
                "weights": {path: np.asarray(w).copy() for path, w in weights.items()},
                "masks": self.model.masks,
                "steps": int(optimizer.iterations),
                "rate": float(optimizer.learning_rate),
                "slots": [np.asarray(v).copy() for v in optimizer.variables if len(v.shape)],
            }
        )


class Stop(keras.callbacks.Callback):
    """Interrupts the n-th epoch that ends."""

    def __init__(self, n):
        super().__init__()
        self.left = n

    def on_epoch_begin(self, epoch, logs=None):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
