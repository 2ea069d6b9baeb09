"""A small network with nested layers and batch norm, for the tests of tickets."""

import keras
import numpy as np

import keras_tickets as kt

X = np.random.default_rng(0).normal(size=(32, 7)).astype("float32")
Y = np.random.default_rng(1).normal(size=(32, 3)).astype("float32")


def network(width=10, seed=0, trainable=True):
    """A nested network with batch norm; `trainable=False` freezes its encoder."""
    keras.utils.set_random_seed(seed)
    encoder = keras.Sequential(
        [
            keras.Input((7,)),
            keras.layers.Dense(width, "relu", name="fc"),
            keras.layers.BatchNormalization(name="norm"),
        ],
        name="encoder",
    )
    inputs = keras.Input((7,))
    x = keras.layers.Dropout(0.1, seed=seed, name="drop")(encoder(inputs))
    model = keras.Model(inputs, keras.layers.Dense(3, name="head")(x), name="network")
    encoder.trainable = trainable
    return model


def sparse(seed=0):
    """A sparse network whose weights, biases and statistics are all drawn."""
    model = kt.sparsify(network(seed=seed), 0.5, distribution="uniform", seed=seed)
    rng = np.random.default_rng(seed)
    for variable in kt.weight_paths(model).values():
        variable.assign(rng.uniform(0.5, 1.5, variable.shape))
    model.rest()
    model.compile(keras.optimizers.Adam(0.01), "mse")
    return model


def trained(seed=0):
    model = sparse(seed)
    model.fit(X, Y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    return model


def state(model):
    weights = {path: v.numpy() for path, v in kt.weight_paths(model).items()}
    return weights, kt.get_masks(model), [v.numpy() for v in model.optimizer.variables]


def assert_same(ours, theirs):
    assert list(ours) == list(theirs)
    for path, value in ours.items():
        assert value.dtype == theirs[path].dtype
        np.testing.assert_array_equal(value, theirs[path])


PATHS = [
    "encoder/fc/kernel",
    "encoder/fc/bias",
    "encoder/norm/gamma",
    "encoder/norm/beta",
    "encoder/norm/moving_mean",
    "encoder/norm/moving_variance",
    "head/kernel",
    "head/bias",
]
