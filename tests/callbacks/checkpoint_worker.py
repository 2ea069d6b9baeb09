"""Trains, resumes and compares under one strategy; run by `test_checkpoint_strategies.py`."""

import keras
import numpy as np
import tensorflow as tf
from method_recipes import METHODS
from networks import LOSS, mlp
from worker import SPEC, make_strategy

import keras_tickets as kt
from keras_tickets import data

STRATEGY = make_strategy(SPEC["mode"])


def make_model():
    with STRATEGY.scope():
        model = kt.sparsify(mlp((8, 8, 1), (32,), 10, dropout=0.2), 0.8)
        optimizer = METHODS["RigL"].make(keras.optimizers.Adam(1e-3), update_every=3, end=20)
        model.compile(optimizer, LOSS, steps_per_execution=2)
    return model


def train(directory, epochs):
    digits = data.load("digits", batch_size=200, seed=1)
    model, checkpoint = make_model(), kt.callbacks.Checkpoint(directory)
    start = checkpoint.initial_epoch
    model.fit(
        digits.train(start),
        steps_per_epoch=digits.steps_per_epoch,
        initial_epoch=start,
        epochs=epochs,
        callbacks=[checkpoint],
        verbose=0,
    )
    wait()
    return model, start, checkpoint.history


@tf.function
def wait():
    """A barrier: nobody reads before the chief has written."""

    def add():
        context = tf.distribute.get_replica_context()
        return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.constant(1.0))

    return STRATEGY.run(add)


def state(model):
    metrics = {id(variable) for variable in model.metrics_variables}
    variables = [v for v in model.variables if id(v) not in metrics] + model.optimizer.variables
    return [
        np.asarray(copy)
        for variable in variables
        for copy in STRATEGY.experimental_local_results(variable.value)
    ]


whole, _, history = train(f"{SPEC['directory']}/whole", 4)
train(f"{SPEC['directory']}/parts", 2)
resumed, start, resumed_history = train(f"{SPEC['directory']}/parts", 4)
assert history == resumed_history, (history, resumed_history)
for a, b in zip(state(whole), state(resumed), strict=True):
    np.testing.assert_array_equal(a, b)
np.savez(SPEC["output"], resumed_after=start)
