"""Starts trainings in which one worker differs; run by `test_differing_workers.py`."""

import keras
import numpy as np
from networks import LOSS, mlp
from worker import SPEC, data, make_strategy

import keras_tickets as kt

STRATEGY = make_strategy(SPEC["mode"])
SECOND = SPEC.get("worker") == 1


def message(case):
    """What `fit` says where the second worker differs in one thing."""
    differs = case if SECOND else None
    with STRATEGY.scope():
        model = kt.sparsify(mlp((24,), (8,), 4), 0.5)
        # A plain number would be the chief's on all workers, as all variables are when made.
        rate = keras.optimizers.schedules.CosineDecay(0.2 if differs == "rate" else 0.1, 100)
        loss = "sparse_categorical_crossentropy" if differs == "loss" else LOSS
        model.compile(kt.optimizers.RigL(keras.optimizers.SGD(rate), end=100), loss)
    if differs == "masks":  # set by hand: those that are drawn are the chief's on all workers
        kt.set_masks(model, {path: np.roll(mask, 1) for path, mask in model.masks.items()})
    if differs == "weights":
        weight = model.trainable_weights[-1]
        weight.assign(weight + 1)
    steps = 3 if differs == "steps" else 2
    try:
        model.fit(data().repeat(), steps_per_epoch=steps, epochs=1, verbose=0)
    except ValueError as error:
        return str(error)
    return ""


found = {case: message(case) for case in SPEC["cases"]}
np.savez(SPEC["output"], **found)
