"""Whole models for the walk of `supported_layers.py`, each with a batch of inputs."""

import functools
import importlib.util

import keras
import numpy as np


class Missing(Exception):
    """The package that a model comes from is not installed."""


def _images(size):
    return np.random.default_rng(0).random((2, size, size, 3)).astype("float32") * 255


def _vectors(seed=0):
    return np.random.default_rng(seed).normal(size=(4, 8)).astype("float32")


def _tokens():
    return np.random.default_rng(0).integers(0, 20, (4, 6)).astype("int32")


def _application(name, size=32):
    make = getattr(keras.applications, name)
    return make(weights=None, input_shape=(size, size, 3), classes=10), _images(size)


def transformer_encoder():
    """Two blocks of attention and feed-forward layers over embedded tokens."""
    inputs = keras.Input((6,), dtype="int32")
    order = keras.ops.cumsum(keras.ops.ones_like(inputs), axis=1) - 1
    x = keras.layers.Embedding(20, 8, mask_zero=True, name="tokens")(inputs)
    x = x + keras.layers.Embedding(6, 8, name="positions")(order)
    for i in range(2):
        attention = keras.layers.MultiHeadAttention(2, 4, name=f"attention_{i}")
        x = keras.layers.LayerNormalization()(x + attention(x, x))
        hidden = keras.layers.Dense(16, "gelu", name=f"up_{i}")(x)
        down = keras.layers.Dense(8, name=f"down_{i}")
        x = keras.layers.LayerNormalization()(x + keras.layers.Dropout(0.1)(down(hidden)))
    x = keras.layers.GlobalAveragePooling1D()(x)
    model = keras.Model(inputs, keras.layers.Dense(3, name="head")(x))
    return model, _tokens()


@keras.saving.register_keras_serializable("examples")
class Branches(keras.Model):
    """Layers in lists, dicts and a nested subclassed layer."""

    def __init__(self, width=8, **kwargs):
        super().__init__(**kwargs)
        self.width = width
        self.blocks = [Block(width, name=f"block_{i}") for i in range(2)]
        self.pairs = {name: [keras.layers.Dense(4), keras.layers.Dense(3)] for name in ("a", "b")}

    def call(self, inputs, training=None):
        x = inputs
        for block in self.blocks:
            x = block(x, training=training)
        return {name: second(first(x)) for name, (first, second) in self.pairs.items()}

    def get_config(self):
        return {**super().get_config(), "width": self.width}


@keras.saving.register_keras_serializable("examples")
class Block(keras.layers.Layer):
    """A residual block with a weight of its own beside its sublayers."""

    def __init__(self, width, **kwargs):
        super().__init__(**kwargs)
        self.width = width
        self.dense = keras.layers.Dense(width, "relu")
        self.norm = keras.layers.BatchNormalization()
        self.drop = keras.layers.Dropout(0.2)

    def build(self, input_shape):
        self.mix = self.add_weight(shape=(self.width, self.width), name="mix")
        self.dense.build(input_shape)
        self.norm.build((*input_shape[:-1], self.width))

    def call(self, inputs, training=None):
        x = self.norm(self.dense(inputs), training=training)
        return inputs + self.drop(keras.ops.matmul(x, self.mix), training=training)

    def get_config(self):
        return {**super().get_config(), "width": self.width}


def subclassed():
    """A model class with lists and dicts of layers, and a dict of outputs."""
    model, inputs = Branches(name="branches"), _vectors()
    model(inputs)
    return model, inputs


def shared_layers():
    """One layer called on two inputs, and again on its own output."""
    inputs = [keras.Input((8,)), keras.Input((8,))]
    shared = keras.layers.Dense(8, "relu", name="shared")
    a, b = shared(inputs[0]), shared(shared(inputs[1]))
    x = keras.layers.Concatenate()([a, b])
    return keras.Model(inputs, keras.layers.Dense(2, name="head")(x)), [_vectors(0), _vectors(1)]


def nested_models():
    """Functional and Sequential models in a functional one, one of them called twice."""
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, padding="same", name="conv")(image)
    stem = keras.Model(image, keras.layers.BatchNormalization()(x), name="stem")
    features = keras.Input((8, 8, 4))
    body = keras.layers.Conv2D(4, 3, padding="same", name="conv")(features)
    body = keras.Model(features, keras.layers.ReLU()(body) + features, name="body")
    head = keras.Sequential([keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2)])
    inputs = keras.Input((8, 8, 3))
    return keras.Model(inputs, head(body(body(stem(inputs))))), _images(8)


def keras_hub_backbone():
    """A BERT backbone of keras-hub."""
    if importlib.util.find_spec("keras_hub") is None:
        raise Missing("keras-hub is not installed")
    import keras_hub

    model = keras_hub.models.BertBackbone(
        vocabulary_size=30, num_layers=2, num_heads=2, hidden_dim=8, intermediate_dim=16
    )
    tokens = _tokens()
    other = {"segment_ids": np.zeros_like(tokens), "padding_mask": np.ones_like(tokens)}
    return model, {"token_ids": tokens, **other}


APPLICATIONS = ("ResNet50", "MobileNetV2", "EfficientNetB0", "ConvNeXtTiny")
MODELS = {
    **{
        f"`keras.applications.{name}`": functools.partial(_application, name)
        for name in APPLICATIONS
    },
    "transformer encoder of Keras layers": transformer_encoder,
    "subclassed, with lists and dicts of layers": subclassed,
    "shared layers": shared_layers,
    "nested functional and Sequential models": nested_models,
    "`keras_hub.models.BertBackbone`": keras_hub_backbone,
}
