"""The share of weights ever active, against a union kept in NumPy."""

import keras
import numpy as np
import pytest

import keras_tickets as kt

X = np.random.default_rng(0).normal(size=(320, 12)).astype("float32")
Y = np.arange(320) % 3
WINDOW = {"update_every": 3, "end": 99, "track_exploration": True}


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("method", ["SET", "RigL", "SNFS", "DNW"])
def test_union_of_all_masks(method, jit_compile, tmp_path):
    make = getattr(kt.optimizers, method)
    options = {"track_exploration": True} if method == "DNW" else WINDOW
    model = kt.sparsify(kt.models.lenet_300_100((12,), 3, width=0.1, seed=0), 0.8)
    union = model.masks

    def look(batch, logs):
        for path, mask in model.masks.items():
            union[path] = union[path] | mask

    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(make("adam", **options), loss, jit_compile=jit_compile)
    callback = keras.callbacks.LambdaCallback(on_train_batch_end=look)
    history = model.fit(X, Y, batch_size=16, verbose=0, callbacks=[callback]).history
    share = sum(m.sum() for m in union.values()) / sum(m.size for m in union.values())
    assert model.optimizer.exploration == share > 0.2
    assert history["exploration"] == [share]
    model.save(tmp_path / "model.keras")
    assert keras.models.load_model(tmp_path / "model.keras").optimizer.exploration == share


def test_it_must_be_asked_for():
    model = kt.sparsify(kt.models.lenet_300_100((12,), 3, width=0.1, seed=0), 0.8)
    model.compile(kt.optimizers.SET("sgd", end=9), "mse")
    history = model.fit(X[:8], np.zeros((8, 3)), verbose=0).history
    assert "exploration" not in history
    with pytest.raises(ValueError, match="track_exploration=False"):
        _ = kt.optimizers.SET("sgd", end=9).exploration
