"""Models, data and NumPy oracles for the tests of distillation."""

import keras
import numpy as np
import tensorflow as tf
from networks import LOSS, labeled, mlp

import keras_tickets as kt

RNG = np.random.default_rng(0)
X, Y = labeled(320)


def network(seed=0, classes=3, activation=None, **kwargs):
    return mlp(
        classes=classes,
        output=activation,
        norm=keras.layers.BatchNormalization,
        dropout=0.5,
        seed=seed,
        **kwargs,
    )


def plain(seed=0, **kwargs):
    """Without dropout and batch statistics: training and inference compute the same."""
    return mlp(activation="tanh", seed=seed, **kwargs)


def rigl(**kwargs):
    arguments = {"update_every": 5, "end": 100, **kwargs}
    return kt.optimizers.RigL(keras.optimizers.SGD(0.1, momentum=0.9), **arguments)


def dataset(batches, size=32):
    return tf.data.Dataset.from_tensor_slices((X, Y)).repeat().batch(size).take(batches)


def trained(trainer, optimizer="sgd", batches=10, epochs=1, **kwargs):
    trainer.compile(optimizer, LOSS, metrics=["accuracy"], **kwargs)
    trainer.fit(dataset(batches), epochs=epochs, verbose=0)
    return trainer


def soft(logits, temperature=1.0):
    scaled = np.exp(np.float64(logits) / temperature)
    return scaled / scaled.sum(-1, keepdims=True)


def divergence(teacher, student, temperature):
    p, q = soft(teacher, temperature), soft(student, temperature)
    return temperature**2 * (p * np.log(p / q)).sum(-1)


def cross_entropy(labels, logits):
    return -np.log(soft(logits)[np.arange(len(labels)), labels])


@keras.saving.register_keras_serializable("tests")
class Seen(keras.layers.Layer):
    """Keeps the sum of each batch that it was called on, and in which mode."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.batches, self.modes = [], set()

    def call(self, inputs, training=None):
        self.modes.add(training)
        tf.py_function(lambda x: self.batches.append(x.numpy()), [inputs], [])
        return inputs


def watched(model):
    """The model behind a `Seen` layer, which is returned too."""
    seen, inputs = Seen(), keras.Input((10,))
    return keras.Model(inputs, model(seen(inputs))), seen
