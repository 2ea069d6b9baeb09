"""Trains, resumes and compares under one strategy; run by `test_checkpoint_strategies.py`.

python checkpoint_worker.py mirrored DIRECTORY
python checkpoint_worker.py workers DIRECTORY PORT PORT INDEX
"""

import json
import os
import sys

MODE, DIRECTORY, *REST = sys.argv[1:]
if MODE == "workers":
    *ports, index = map(int, REST)
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    task = {"type": "worker", "index": index}
    os.environ["TF_CONFIG"] = json.dumps({"cluster": cluster, "task": task})

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

import keras_tickets as kt  # noqa: E402
from keras_tickets import data  # noqa: E402

if MODE == "workers":
    STRATEGY = tf.distribute.MultiWorkerMirroredStrategy()
else:
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    STRATEGY = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def make_model():
    def dense(units, activation, name):
        kernel = keras.initializers.GlorotUniform(units)
        return keras.layers.Dense(units, activation, kernel_initializer=kernel, name=name)

    with STRATEGY.scope():
        inputs = keras.Input((8, 8, 1))
        x = dense(32, "relu", "fc1")(keras.layers.Flatten(name="flatten")(inputs))
        x = keras.layers.Dropout(0.2, seed=3, name="dropout")(x)
        model = kt.sparsify(keras.Model(inputs, dense(10, None, "logits")(x)), 0.8)
        model.compile(
            kt.optimizers.RigL(keras.optimizers.Adam(1e-3), update_every=3, end=20),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            steps_per_execution=2,
        )
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


whole, _, history = train(f"{DIRECTORY}/whole", 4)
train(f"{DIRECTORY}/parts", 2)
resumed, start, resumed_history = train(f"{DIRECTORY}/parts", 4)
assert start == 2, start
assert history == resumed_history, (history, resumed_history)
for a, b in zip(state(whole), state(resumed), strict=True):
    np.testing.assert_array_equal(a, b)
print("resumed exactly")
