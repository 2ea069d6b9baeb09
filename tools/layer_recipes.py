"""How to make and call one layer of each class of `keras.layers`, for the walk over all of them.

A class that is not named here is made without arguments and called on one batch of floats of a
shape that its name tells (`…1D`, `…2D`, `…3D`). What needs more has a recipe; what cannot be called
alone has a reason.
"""

import dataclasses
from collections.abc import Callable

import keras

VECTOR, SEQUENCE, IMAGE, VOLUME = (8,), (6, 8), (12, 12, 3), (6, 6, 6, 2)
FRAMES = {"1": (3, 8, 2), "2": (3, 8, 8, 2), "3": (3, 6, 6, 6, 2)}


def _one(layer, inputs):
    return layer(inputs[0])


def _together(layer, inputs):
    return layer(list(inputs))


def _apart(layer, inputs):
    return layer(*inputs)


def _in_a_loop(cell, inputs):
    return keras.layers.RNN(cell, name="loop")(inputs[0])


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How one layer is made and called.

    Attributes:
        arguments: Returns the arguments of the layer's class.
        shape: Shape of one example; by the class's name where it is None.
        dtype: "float32", "int32" (0 to 3) or "string".
        inputs: Number of inputs of that shape.
        call: Called with the layer and its symbolic inputs.
    """

    arguments: Callable[[], dict] = dict
    shape: tuple[int, ...] | None = None
    dtype: str = "float32"
    inputs: int = 1
    call: Callable = _one


def recipe_for(name: str) -> Recipe:
    """The recipe of a class of `keras.layers`, with its shape filled in."""
    recipe = RECIPES.get(name, Recipe())
    return recipe if recipe.shape else dataclasses.replace(recipe, shape=_shape(name))


def _shape(name):
    image = ("Random", "Auto", "Aug", "Rand", "Equalization", "Solarization", "Contrast")
    if name.startswith("ConvLSTM"):
        return FRAMES[name[8]]
    if "1D" in name or name in SEQUENCES:
        return SEQUENCE
    if "2D" in name or name.startswith(image) or name in IMAGES:
        return IMAGE
    return VOLUME if "3D" in name else VECTOR


def _merge(**arguments):
    return Recipe(lambda: arguments, inputs=2, call=_together)


def _with(**arguments):
    return Recipe(lambda: arguments)


def _on(shape=None, dtype="float32", **arguments):
    return Recipe(lambda: arguments, shape, dtype)


def _conv(**arguments):
    return _with(filters=4, kernel_size=3, **arguments)


IMAGES = {"CenterCrop", "CutMix", "MixUp", "Resizing"}
SEQUENCES = {
    *("GRU", "LSTM", "SimpleRNN", "RNN", "Bidirectional", "TimeDistributed", "Masking", "Permute"),
    *("GRUCell", "LSTMCell", "SimpleRNNCell", "StackedRNNCells", "MultiHeadAttention"),
    *("Attention", "AdditiveAttention", "GroupQueryAttention", "EinsumDense"),
}

RECIPES = {
    **{name: _merge() for name in ("Add", "Average", "Concatenate", "Maximum", "Minimum")},
    **{name: _merge() for name in ("Multiply", "Subtract")},
    "Dot": _merge(axes=1),
    **{f"Conv{n}D": _conv() for n in "123"},
    **{f"Conv{n}DTranspose": _conv() for n in "123"},
    **{f"SeparableConv{n}D": _conv() for n in "12"},
    **{f"ConvLSTM{n}D": _conv() for n in "123"},
    **{f"DepthwiseConv{n}D": _with(kernel_size=3) for n in "12"},
    **{f"AveragePooling{n}D": _with(pool_size=2) for n in "123"},
    **{
        f"Adaptive{kind}Pooling{n}D": _with(output_size=2)
        for kind in ("Average", "Max")
        for n in "123"
    },
    "Activation": _with(activation="relu"),
    "ActivityRegularization": _with(l2=0.1),
    "AdditiveAttention": Recipe(inputs=2, call=_together),
    "Attention": Recipe(lambda: {"use_scale": True}, inputs=2, call=_together),
    "Bidirectional": Recipe(lambda: {"layer": keras.layers.LSTM(4)}),
    "CategoryEncoding": _on((3,), "int32", num_tokens=4, output_mode="multi_hot"),
    "CenterCrop": _with(height=6, width=6),
    "Dense": _with(units=4),
    "Discretization": _with(bin_boundaries=[0.2, 0.5]),
    "Dropout": _with(rate=0.3),
    "AlphaDropout": _with(rate=0.3),
    "GaussianDropout": _with(rate=0.3),
    "GaussianNoise": _with(stddev=0.3),
    "EinsumDense": _with(equation="abc,cde->abde", output_shape=(6, 2, 4)),
    "Embedding": _on((6,), "int32", input_dim=10, output_dim=4),
    "GRU": _with(units=4),
    "GRUCell": Recipe(lambda: {"units": 4}, call=_in_a_loop),
    "GroupNormalization": _with(groups=2),
    "GroupQueryAttention": Recipe(
        lambda: {"head_dim": 4, "num_query_heads": 4, "num_key_value_heads": 2},
        inputs=2,
        call=_apart,
    ),
    "HashedCrossing": Recipe(lambda: {"num_bins": 5}, (1,), "int32", inputs=2, call=_together),
    "Hashing": _on((3,), "int32", num_bins=5),
    "IntegerLookup": _on((3,), "int32", vocabulary=[1, 2, 3]),
    "LSTM": _with(units=4),
    "LSTMCell": Recipe(lambda: {"units": 4}, call=_in_a_loop),
    "Lambda": _with(function=keras.activations.relu),
    "MelSpectrogram": _on((4000,), num_mel_bins=8),
    "MultiHeadAttention": Recipe(lambda: {"num_heads": 2, "key_dim": 4}, inputs=2, call=_apart),
    "Normalization": _with(mean=0.5, variance=2.0),
    "Permute": _with(dims=(2, 1)),
    "Pipeline": Recipe(lambda: {"layers": [keras.layers.Rescaling(2.0)]}),
    "RNN": Recipe(lambda: {"cell": keras.layers.GRUCell(4)}),
    "RandomBrightness": _with(factor=0.2, value_range=(0, 1)),
    "RandomColorDegeneration": _with(factor=0.2),
    "RandomContrast": _with(factor=0.2),
    "RandomCrop": _with(height=12, width=12),
    "RandomHue": _with(factor=0.2, value_range=(0, 1)),
    "RandomPosterization": _with(factor=4),
    "RandomRotation": _with(factor=0.1),
    "RandomSaturation": _with(factor=0.2),
    "RandomSharpness": _with(factor=0.2),
    "RandomTranslation": _with(height_factor=0.1, width_factor=0.1),
    "RandomZoom": _with(height_factor=0.1),
    "RepeatVector": _with(n=3),
    "Rescaling": _with(scale=2.0),
    "Reshape": _with(target_shape=(2, 4)),
    "Resizing": _with(height=6, width=6),
    "ReversibleEmbedding": _on((6,), "int32", input_dim=10, output_dim=4),
    "STFTSpectrogram": _on((400, 1)),
    "SimpleRNN": _with(units=4),
    "SimpleRNNCell": Recipe(lambda: {"units": 4}, call=_in_a_loop),
    **{f"SpatialDropout{n}D": _with(rate=0.3) for n in "123"},
    "SpectralNormalization": Recipe(lambda: {"layer": keras.layers.Dense(4)}),
    "StackedRNNCells": Recipe(
        lambda: {"cells": [keras.layers.GRUCell(4), keras.layers.LSTMCell(4)]}, call=_in_a_loop
    ),
    "StringLookup": _on((3,), "string", vocabulary=["a", "b"]),
    "TextVectorization": _on((1,), "string", vocabulary=["a", "b"], output_sequence_length=4),
    "TimeDistributed": Recipe(lambda: {"layer": keras.layers.Dense(4)}),
}

NOT_ALONE = {
    "FlaxLayer": "runs a JAX module, on the JAX backend only",
    "InputLayer": "the input of a model: every model here has one",
    "JaxLayer": "runs a JAX function, on the JAX backend only",
    "Layer": "base class: has no computation of its own",
    "MaxNumBoundingBoxes": "takes dicts of bounding boxes, in a data pipeline and not in a model",
    "TFSMLayer": "runs a SavedModel, whose weights are no Keras variables",
    "TorchModuleWrapper": "runs a PyTorch module, on the PyTorch backend only",
    "Wrapper": "base class: has no computation of its own",
}
