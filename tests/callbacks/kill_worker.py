"""A run of `fit` with `kt.callbacks.Checkpoint`, to be killed; started by `test_kill.py`.

python kill_worker.py METHOD EPOCHS DIRECTORY
"""

import sys

import keras

import keras_tickets as kt
from keras_tickets import data

METHOD, EPOCHS, DIRECTORY = sys.argv[1], int(sys.argv[2]), sys.argv[3]


def optimizer():
    inner = keras.optimizers.Adam(2e-3)
    if METHOD == "gradual_magnitude":
        schedule = kt.schedules.PolynomialDecay()
        return kt.optimizers.GradualMagnitude(inner, schedule, update_every=5, end=0.75)
    return {"rigl": kt.optimizers.RigL, "snfs": kt.optimizers.SNFS}[METHOD](inner, update_every=5)


def network():
    layers = [
        keras.layers.Flatten(),
        keras.layers.Dense(64, "relu", kernel_initializer=keras.initializers.GlorotUniform(1)),
        keras.layers.BatchNormalization(),
        keras.layers.Dropout(0.3, seed=5),
        keras.layers.Dense(10, kernel_initializer=keras.initializers.GlorotUniform(2)),
    ]
    mask = "ones" if METHOD == "gradual_magnitude" else "random"
    return kt.sparsify(keras.Sequential([keras.Input((8, 8, 1)), *layers]), 0.8, mask=mask)


model = network()
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(optimizer(), loss, metrics=["accuracy"])
digits = data.load("digits", batch_size=100, seed=1)
checkpoint = kt.callbacks.Checkpoint(DIRECTORY)
start = checkpoint.initial_epoch
if start:
    print(f"Resuming after epoch {start}.", flush=True)
model.fit(
    digits.train(start),
    steps_per_epoch=digits.steps_per_epoch,
    initial_epoch=start,
    epochs=EPOCHS,
    validation_data=digits.test(),
    shuffle=False,
    callbacks=[checkpoint],
    verbose=0,
)
