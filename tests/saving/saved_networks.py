"""The network whose files these tests write and read."""

import keras
import numpy as np

import keras_tickets as kt

RNG = np.random.default_rng(0)
X = RNG.normal(size=(24, 7)).astype("float32")
Y = RNG.normal(size=(24, 3)).astype("float32")


def network(width=9, dropout=0.0):
    layers = [
        keras.layers.Dense(width, "relu", name="fc"),
        keras.layers.BatchNormalization(name="norm"),
        keras.layers.Dropout(dropout, seed=3, name="drop"),
        keras.layers.Dense(3, name="head"),
    ]
    return keras.Sequential([keras.Input((7,)), *layers], name="network")


def sparse(seed=0, **kwargs):
    model = kt.sparsify(network(**kwargs), 0.5, seed=seed)
    inner = keras.optimizers.SGD(0.1, momentum=0.9)
    model.compile(kt.optimizers.RigL(inner, update_every=2, end=100), "mse")
    return model


def fit(model, epochs=2, **kwargs):
    return model.fit(X, Y, batch_size=8, epochs=epochs, shuffle=False, verbose=0, **kwargs)


def state(model):
    """Masks, weights, seeds, slots and counters; no metrics."""
    metrics = {id(variable) for variable in model.metrics_variables}
    kept = [v for v in model.variables if id(v) not in metrics]
    return [v.numpy() for v in [*kept, *model.optimizer.variables]]


def assert_same(model, other):
    for ours, theirs in zip(state(model), state(other), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def exact(model, directory, **kwargs):
    return fit(model, callbacks=[kt.callbacks.Checkpoint(directory)], **kwargs)
