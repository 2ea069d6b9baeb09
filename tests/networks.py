"""The small network that tests share, data that it can learn, and its loss."""

from collections.abc import Callable

import keras
import numpy as np

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def mlp(
    inputs: int | tuple[int, ...] = 10,
    hidden: tuple[int, ...] = (16,),
    classes: int = 3,
    *,
    activation: str | None = "relu",
    output: str | None = None,
    norm: Callable | None = None,
    dropout: float = 0.0,
    seed: int = 0,
    dtype: str | None = None,
    **dense,
) -> keras.Model:
    """A functional model of Dense layers `fc1`, `fc2`, … and `head`, the same for each seed.

    Args:
        inputs: Size of the input, or its shape: what is no vector is flattened.
        hidden: Units of each hidden layer.
        classes: Units of `head`.
        activation: Of the hidden layers.
        output: Activation of `head`.
        norm: Class of the normalization `norm1`, … behind each hidden layer.
        dropout: Share that `drop1`, … behind each hidden layer drops; without a layer at 0.
        seed: Seed of kernels and dropout.
        dtype: Policy of the hidden layers; `head` computes in float32 where it is given.
        **dense: Arguments of each Dense layer.
    """

    def layer(units, name, place, **arguments):
        kernel = keras.initializers.GlorotUniform(seed + place)
        return keras.layers.Dense(
            units, name=name, **{"kernel_initializer": kernel, **dense, **arguments}
        )

    shape = inputs if isinstance(inputs, tuple) else (inputs,)
    tensor = x = keras.Input(shape)
    if len(shape) > 1:
        x = keras.layers.Flatten(name="flatten")(x)
    for i, units in enumerate(hidden, 1):
        x = layer(units, f"fc{i}", i, activation=activation, dtype=dtype)(x)
        if norm:
            x = norm(name=f"norm{i}")(x)
        if dropout:
            x = keras.layers.Dropout(dropout, seed=seed + i, name=f"drop{i}")(x)
    head = layer(classes, "head", 0, activation=output, dtype=dtype and "float32")
    return keras.Model(tensor, head(x), name="mlp")


def labeled(examples: int, inputs: int = 10, classes: int = 3, seed: int = 0):
    """Random inputs, and which of as many random directions as classes each points to most."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(examples, inputs)).astype("float32")
    return x, np.argmax(x @ rng.normal(size=(inputs, classes)), axis=1)
