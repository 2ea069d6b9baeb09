"""Trains a network in sparse storage, with replicas and alone; run by `test_stored_replicas.py`."""

import keras
import numpy as np
import tensorflow as tf
from worker import SPEC, data, make_strategy

import keras_tickets as kt
from keras_tickets.masks import masked_kernels

UPDATES = {"update_every": 10, "end": 95, "seed": 3}


def build(engine):
    inputs = keras.Input((24,))
    x = keras.layers.Dense(32, "relu", name="first")(inputs)
    x = keras.layers.Dense(16, "relu", name="second")(x)
    x = keras.layers.Dense(4, name="head")(x)
    model = kt.sparsify(keras.Model(inputs, x), {"first|second": 0.8}, storage="sparse", seed=2)
    for layer in model.layers:
        if isinstance(layer, kt.layers.SparseDense):
            layer.engine = engine
    return model


def train(method, strategy):
    """Trains by one method, and returns what is compared."""
    with strategy.scope():
        keras.utils.set_random_seed(1)
        model = build(SPEC.get("engine", "tensorflow"))
        options = {} if method == "Static" else UPDATES
        optimizer = getattr(kt.optimizers, method)(
            keras.optimizers.SGD(0.05, momentum=0.9), **options
        )
        model.compile(
            optimizer,
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            steps_per_execution=SPEC.get("steps_per_execution", 1),
        )
    masks = [kt.get_masks(model)]
    record = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: masks.append(kt.get_masks(model))
    )
    history = model.fit(data(), epochs=4, verbose=0, callbacks=[record]).history
    replicas = [
        strategy.experimental_local_results(variable.value)
        for kernel in masked_kernels(model)
        for variable in (kernel.indices, kernel.kernel)
    ]
    return {
        "loss": history["loss"],
        "masks": [np.concatenate([m.ravel() for m in found.values()]) for found in masks],
        "weights": np.concatenate([w.numpy().ravel() for w in model.trainable_weights]),
        **{
            f"replica {i}": np.concatenate([parts[i].numpy() for parts in replicas])
            for i in range(len(replicas[0]))
        },
    }


def main():
    strategy = make_strategy(SPEC["mode"])
    together = train(SPEC["method"], strategy)
    alone = train(SPEC["method"], tf.distribute.get_strategy())
    alone = {f"alone: {name}": value for name, value in alone.items()}
    np.savez(SPEC["output"], **together, **alone)


if __name__ == "__main__":
    main()
