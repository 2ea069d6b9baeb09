"""The training that tests of checkpoints interrupt and resume."""

import keras
import numpy as np
from networks import LOSS, mlp

from keras_tickets import data
from keras_tickets.callbacks import Checkpoint


def network(units=8, optimizer=None):
    norm = keras.layers.BatchNormalization
    model = mlp((8, 8, 1), (units,), 10, norm=norm, dropout=0.3)
    model.compile(optimizer or keras.optimizers.Adam(1e-3), LOSS, metrics=["accuracy"])
    return model


def train(directory, epochs, model=None, keep=1, callbacks=(), batch_size=200):
    digits = data.load("digits", batch_size=batch_size, seed=1)
    model = model or network()
    checkpoint = Checkpoint(directory, keep=keep)
    model.fit(
        digits.train(checkpoint.initial_epoch),
        steps_per_epoch=digits.steps_per_epoch,
        initial_epoch=checkpoint.initial_epoch,
        epochs=epochs,
        shuffle=False,
        callbacks=[*callbacks, checkpoint],
        verbose=0,
    )
    return model, checkpoint


def state(model):
    kept = model.variables + model.optimizer.variables
    metrics = {id(v) for v in model.metrics_variables}
    return [np.asarray(v.value) for v in kept if id(v) not in metrics]


def assert_same(model, other):
    for a, b in zip(state(model), state(other), strict=True):
        np.testing.assert_array_equal(a, b)
