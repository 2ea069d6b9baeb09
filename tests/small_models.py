"""Models of each kind that Keras knows, and what is done to them."""

import keras
import numpy as np

import keras_tickets as kt


def mlp(**kwargs):
    return keras.Sequential(
        [
            keras.Input((16,)),
            keras.layers.Dense(20, activation="relu", name="a", **kwargs),
            keras.layers.Dense(12, activation="relu", name="b", **kwargs),
            keras.layers.Dense(4, name="c", **kwargs),
        ],
        name="mlp",
    )


def nested():
    inputs = keras.Input((8,))
    encoder = keras.Sequential(
        [keras.Input((8,)), keras.layers.Dense(8, name="fc"), keras.layers.ReLU()], name="encoder"
    )
    x = encoder(encoder(inputs))
    return keras.Model(inputs, keras.layers.Dense(3, name="head")(x), name="nested")


@keras.saving.register_keras_serializable("tests")
class Subclassed(keras.Model):
    def __init__(self, units=6, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.blocks = [keras.layers.Dense(units, activation="relu", name="block") for _ in range(2)]
        self.heads = {"head": keras.layers.Dense(3, name="head")}
        self.drop = keras.layers.Dropout(0.5, seed=1)

    def call(self, x, training=None):
        for block in self.blocks:
            x = block(x)
        return self.heads["head"](self.drop(x, training=training))

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def subclassed():
    model = Subclassed(name="sub")
    model(np.zeros((2, 8), "float32"))
    return model


def inputs_for(model, batch=5):
    shape = model.input_shape if hasattr(model, "input_shape") else (None, 8)
    return np.random.default_rng(1).normal(size=(batch, *shape[1:])).astype("float32")


def all_true(model, **kwargs):
    """A sparse model that must behave as the dense one."""
    return kt.sparsify(model, {".*": 0.0}, mask="ones", **kwargs)


def through_a_file(model, folder):
    model.save(folder / "model.keras")
    return keras.models.load_model(folder / "model.keras")


def functional(*layers, shape=(8,), **kwargs):
    inputs = x = keras.Input(shape, **kwargs)
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, keras.layers.Dense(2, name="head")(x))
