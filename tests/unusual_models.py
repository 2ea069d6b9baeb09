"""Models of unusual kinds, each with inputs for it."""

import keras
import numpy as np
from keras import layers

RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 8)).astype("float32")


class OfDict(keras.Model):
    """Subclassed, of a dict of inputs; one layer is called twice."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.shared = layers.Dense(6, "relu", name="shared")
        self.head = layers.Dense(3, name="head")

    def call(self, x):
        return self.head(self.shared(x["u"]) + self.shared(x["v"]))


def subclassed():
    model, inputs = OfDict(), {"u": X, "v": X[::-1].copy()}
    model(inputs)
    return model, inputs


def several_inputs(structure=dict):
    pair = {name: keras.Input((8,), name=name) for name in "uv"}
    x = layers.Concatenate()([layers.Dense(5, "relu", name=f"of_{n}")(i) for n, i in pair.items()])
    values = {"u": X, "v": X[::-1].copy()}
    if structure is list:
        pair, values = list(pair.values()), list(values.values())
    return keras.Model(pair, layers.Dense(3, name="head")(x)), values


def in_float64():
    parts = [layers.Dense(6, "relu", dtype="float64", name="a")]
    parts.append(layers.Dense(3, dtype="float64", name="b"))
    return keras.Sequential([keras.Input((8,), dtype="float64"), *parts]), X.astype("float64")


def in_mixed_precision():
    parts = [layers.Dense(n, dtype="mixed_bfloat16", name=f"of_{n}") for n in (6, 3)]
    return keras.Sequential([keras.Input((8,)), *parts]), X


def of_any_size():
    inputs = keras.Input((None, None, 2))
    x = layers.Conv2D(5, 3, activation="relu", name="conv")(inputs)
    x = layers.GlobalAveragePooling2D()(layers.BatchNormalization()(x))
    model = keras.Model(inputs, layers.Dense(3, name="head")(x))
    return model, RNG.normal(size=(12, 9, 9, 2)).astype("float32")


def of_tokens():
    inputs = keras.Input((8,), dtype="int32")
    x = layers.GlobalAveragePooling1D()(layers.Embedding(20, 6, name="embedding")(inputs))
    return keras.Model(inputs, layers.Dense(3, name="head")(x)), RNG.integers(0, 20, (12, 8))


def partly_frozen():
    parts = [layers.Dense(6, "relu", name="a"), layers.Lambda(lambda x: 2 * x, name="twice")]
    model = keras.Sequential([keras.Input((8,)), *parts, layers.Dense(3, name="head")])
    model.get_layer("a").trainable = False
    return model, X


UNUSUAL = {
    "subclassed": subclassed,
    "dict of inputs": several_inputs,
    "list of inputs": lambda: several_inputs(list),
    "float64": in_float64,
    "mixed precision": in_mixed_precision,
    "any size": of_any_size,
    "tokens": of_tokens,
    "partly frozen": partly_frozen,
}
