import hashlib
import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_tickets import data
from keras_tickets.callbacks import Checkpoint, StopOnNaN


def network(units=8, optimizer=None):
    layers = [
        keras.layers.Flatten(),
        keras.layers.Dense(units, activation="relu", kernel_initializer=seeded(1)),
        keras.layers.Dropout(0.3, seed=5),
        keras.layers.BatchNormalization(),
        keras.layers.Dense(10, kernel_initializer=seeded(2)),
    ]
    model = keras.Sequential([keras.Input((8, 8, 1)), *layers])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer or keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"])
    return model


def seeded(seed):
    return keras.initializers.GlorotUniform(seed)


def train(directory, epochs, model=None, keep=1, callbacks=()):
    digits = data.load("digits", batch_size=200, seed=1)
    model = model or network()
    checkpoint = Checkpoint(directory, keep=keep)
    model.fit(
        digits.train(checkpoint.initial_epoch),
        steps_per_epoch=digits.steps_per_epoch,
        initial_epoch=checkpoint.initial_epoch,
        epochs=epochs,
        shuffle=False,
        callbacks=[*callbacks, checkpoint],
        verbose=0,
    )
    return model, checkpoint


def state(model):
    kept = model.variables + model.optimizer.variables
    metrics = {id(v) for v in model.metrics_variables}
    return [np.asarray(v.value) for v in kept if id(v) not in metrics]


def assert_same(model, other):
    for a, b in zip(state(model), state(other), strict=True):
        np.testing.assert_array_equal(a, b)


def test_resumed_run_ends_as_the_uninterrupted_one(tmp_path):
    whole, reference = train(tmp_path / "whole", 5)
    train(tmp_path / "parts", 2)
    assert Checkpoint(tmp_path / "parts").initial_epoch == 2
    train(tmp_path / "parts", 3)
    resumed, checkpoint = train(tmp_path / "parts", 5)
    assert_same(whole, resumed)
    assert checkpoint.history == reference.history
    assert checkpoint.epochs == reference.epochs == [0, 1, 2, 3, 4]
    assert len(checkpoint.history["accuracy"]) == 5
    assert checkpoint.seconds > 0
    assert [p.name for p in (tmp_path / "parts").iterdir()] == ["epoch_000005"]


def test_finished_run_is_restored_and_not_trained(tmp_path):
    model, _ = train(tmp_path, 2)
    again, checkpoint = train(tmp_path, 2)
    assert_same(model, again)
    assert len(checkpoint.history["loss"]) == 2


def test_low_precision_variables_survive(tmp_path):
    model = network()
    half = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()])
    half.add(keras.layers.Dense(10, dtype="bfloat16"))
    half.compile("sgd", model.loss)
    train(tmp_path, 1, half)
    before = state(half)
    half.layers[-1].kernel.assign(tf.zeros_like(half.layers[-1].kernel.value))
    train(tmp_path, 1, half)
    assert before[0].dtype.name == "bfloat16"
    assert all(a.tobytes() == b.tobytes() for a, b in zip(before, state(half), strict=True))


def test_keeps_the_newest(tmp_path):
    train(tmp_path, 4, keep=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["epoch_000003", "epoch_000004"]


@pytest.mark.parametrize("name", ["variables.npz", "checkpoint.json"])
@pytest.mark.parametrize("damage", ["truncated", "missing", "changed"])
def test_damaged_checkpoint_is_named(tmp_path, name, damage):
    train(tmp_path, 1)
    file = tmp_path / "epoch_000001" / name
    content = bytearray(file.read_bytes())
    if damage == "missing":
        file.unlink()
    elif damage == "truncated":
        file.write_bytes(content[: len(content) // 2])
    else:
        content[len(content) // 2 : len(content) // 2 + 4] = b"\0\0\0\0"
        file.write_bytes(content)
    with pytest.raises(ValueError, match="is damaged") as caught:
        train(tmp_path, 2)
    assert str(file) in str(caught.value)


def test_falls_back_to_the_one_before_and_says_so(tmp_path):
    whole, _ = train(tmp_path / "whole", 3, keep=2)
    train(tmp_path / "parts", 2, keep=2)
    file = tmp_path / "parts" / "epoch_000002" / "variables.npz"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.warns(UserWarning, match="damaged.*using epoch_000001 instead"):
        resumed, checkpoint = train(tmp_path / "parts", 3, keep=2)
    assert_same(whole, resumed)
    assert checkpoint.epochs == [0, 1, 2]


def test_nothing_is_unpickled(tmp_path):
    train(tmp_path, 1)
    path = tmp_path / "epoch_000001"
    description = json.loads((path / "checkpoint.json").read_text())
    np.savez(path / "variables.npz", evil=np.array([object()], dtype=object))
    description["sha256"] = hashlib.sha256((path / "variables.npz").read_bytes()).hexdigest()
    (path / "checkpoint.json").write_text(json.dumps(description))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        train(tmp_path, 2)


def test_foreign_checkpoints_are_refused(tmp_path):
    train(tmp_path, 1)
    with pytest.raises(ValueError, match=r"another model.*dense/kernel.*\(64, 8\).*\(64, 9\)"):
        train(tmp_path, 2, network(units=9))
    with pytest.raises(
        ValueError, match=r"of its 23 variables the first that differs is adam.* sgd"
    ):
        train(tmp_path, 2, network(optimizer=keras.optimizers.SGD(momentum=0.9)))


def test_fit_must_start_where_the_checkpoint_ends(tmp_path):
    train(tmp_path, 2)
    digits = data.load("digits", batch_size=200)
    with pytest.raises(ValueError, match="after 2 epochs, but `fit` starts at epoch 0"):
        network().fit(
            digits.train(), steps_per_epoch=2, callbacks=[Checkpoint(tmp_path)], verbose=0
        )


class Poison(keras.callbacks.Callback):
    def on_train_batch_begin(self, batch, logs=None):
        if int(self.model.optimizer.iterations) == 16:
            kernel = self.model.layers[-1].kernel
            kernel.assign(kernel * np.nan)


def test_nan_stops_with_the_step_and_keeps_the_last_good_checkpoint(tmp_path):
    message = r"the loss is nan at optimizer step 17 \(epoch 3\)"
    with pytest.raises(ValueError, match=message):
        train(tmp_path, 4, callbacks=[Poison(), StopOnNaN()])
    assert Checkpoint(tmp_path).initial_epoch == 2
    resumed, _ = train(tmp_path, 4)
    whole, _ = train(tmp_path / "whole", 4)
    assert_same(whole, resumed)


def test_nan_epoch_is_not_saved_by_checkpoint_alone(tmp_path):
    with pytest.warns(UserWarning, match=r"Epoch 3 was not saved: .* is not finite"):
        train(tmp_path, 3, callbacks=[Poison()])
    assert Checkpoint(tmp_path).initial_epoch == 2


def test_nan_among_several_steps_per_call():
    model = network()
    model.compile(keras.optimizers.SGD(1e30), "mse", steps_per_execution=4)
    x, y = np.ones((16, 8, 8, 1)), np.ones((16, 10))
    with pytest.raises(ValueError, match=r"the loss is \w+ at one of the optimizer steps 1 to 4"):
        model.fit(x, y, batch_size=2, callbacks=[StopOnNaN()], verbose=0)


@pytest.mark.parametrize("keep", [0, -1, True, 1.5])
def test_bad_keep(keep, tmp_path):
    with pytest.raises(ValueError, match="`keep` must be a positive integer.*keep="):
        Checkpoint(tmp_path, keep=keep)


def test_leftovers_of_a_kill_are_ignored_and_removed(tmp_path):
    train(tmp_path, 1)
    shutil.copytree(tmp_path / "epoch_000001", tmp_path / ".writing_epoch_000002")
    (tmp_path / ".writing_epoch_000002" / "variables.npz").write_bytes(b"half")
    assert Checkpoint(tmp_path).initial_epoch == 1
    train(tmp_path, 2)
    assert [p.name for p in tmp_path.iterdir()] == ["epoch_000002"]
