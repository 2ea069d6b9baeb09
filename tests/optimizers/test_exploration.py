"""The share of weights ever active, against a union kept in NumPy."""

import itertools

import keras
import numpy as np
import pytest
from method_recipes import METHODS
from networks import LOSS, labeled, mlp
from slow_cases import slow_unless

import keras_tickets as kt

X, Y = labeled(320, inputs=12)


@pytest.mark.parametrize(
    "method, jit_compile",
    slow_unless(
        lambda method, jit_compile: method in ("RigL", "DNW") and not jit_compile,
        itertools.product(["SET", "RigL", "SNFS", "DNW"], [False, True]),
    ),
)
def test_union_of_all_masks(method, jit_compile, tmp_path):
    model = kt.sparsify(mlp(12), 0.8)

    def look(batch, logs):
        for path, mask in model.masks.items():
            union[path] = union[path] | mask

    optimizer = METHODS[method].make("adam", update_every=3, end=99, track_exploration=True)
    model.compile(optimizer, LOSS, jit_compile=jit_compile)
    union = model.masks  # those that the method starts from
    callback = keras.callbacks.LambdaCallback(on_train_batch_end=look)
    history = model.fit(X, Y, batch_size=16, verbose=0, callbacks=[callback]).history
    share = sum(m.sum() for m in union.values()) / sum(m.size for m in union.values())
    assert model.optimizer.exploration == share > 0.2
    assert history["exploration"] == [share]
    model.save(tmp_path / "model.keras")
    assert keras.models.load_model(tmp_path / "model.keras").optimizer.exploration == share


def test_it_must_be_asked_for():
    model = kt.sparsify(mlp(12), 0.8)
    model.compile(kt.optimizers.SET("sgd", end=9), "mse")
    history = model.fit(X[:8], np.zeros((8, 3)), verbose=0).history
    assert "exploration" not in history
    with pytest.raises(ValueError, match="track_exploration=False"):
        _ = kt.optimizers.SET("sgd", end=9).exploration
