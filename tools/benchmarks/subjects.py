"""What is measured: models, batches and optimizers."""

import keras
import numpy as np
import tensorflow as tf
from method_recipes import METHODS

from benchmarks.timing import EpochTime

SPARSITY, UPDATE_EVERY, DROP_FRACTION, NEVER = 0.9, 100, 0.3, 10**9
# Batch size, input shape, and steps of a block: a multiple of 32 that holds several updates or one.
MODELS = {
    "lenet_300_100": (100, (28, 28, 1), 1600),
    "resnet20": (128, (32, 32, 3), 96),
}


def batches(name: str) -> tf.data.Dataset:
    """Eight batches of random images and labels."""
    batch, shape, _ = MODELS[name]
    generator = np.random.default_rng(0)
    images = generator.random((8, batch, *shape), np.float32)
    labels = generator.integers(0, 10, (8, batch))
    return tf.data.Dataset.from_tensor_slices((images, labels))


def training_block(
    model, optimizer, name: str, steps: int, steps_per_execution: int, attach=tf.data.Dataset.cache
):
    """Compiles a model; a block trains it and returns the seconds that a step took.

    `attach` adds to the batches what the model needs beside images and labels.
    """
    data = attach(batches(name)).repeat().prefetch(4)
    model.compile(
        optimizer,
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        steps_per_execution=steps_per_execution,
    )
    clock = EpochTime()

    def block():
        model.fit(
            data, epochs=1, steps_per_epoch=steps, shuffle=False, verbose=0, callbacks=[clock]
        )
        return clock.seconds / steps

    return block


def sgd() -> keras.optimizers.Optimizer:
    return keras.optimizers.SGD(0.01, momentum=0.9)


def rigl() -> keras.optimizers.Optimizer:
    return METHODS["RigL"].make(
        sgd(), update_every=UPDATE_EVERY, end=NEVER, drop_fraction=DROP_FRACTION
    )
