"""A run of `fit` with `kt.callbacks.Checkpoint`, to be killed; started by `test_kill.py`.

python kill_worker.py METHOD EPOCHS DIRECTORY
"""

import sys

import keras
from method_recipes import METHODS
from networks import LOSS, mlp

import keras_tickets as kt
from keras_tickets import data

NAMES = {"rigl": "RigL", "snfs": "SNFS", "gradual_magnitude": "GradualMagnitude"}
METHOD, EPOCHS, DIRECTORY = METHODS[NAMES[sys.argv[1]]], int(sys.argv[2]), sys.argv[3]

dense = mlp((8, 8, 1), (64,), 10, norm=keras.layers.BatchNormalization, dropout=0.3)
model = METHOD.sparsify(dense, 0.8)
optimizer = METHOD.make(keras.optimizers.Adam(2e-3), update_every=5, end=0.75)
model.compile(optimizer, LOSS, metrics=["accuracy"])
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
