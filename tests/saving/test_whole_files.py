"""Files of sparse models that are complete, or as they were before."""

import errno
import os
import signal

import keras
import numpy as np
import pytest
from faults import room_for, run_killed

import keras_tickets as kt
from keras_tickets._files.atomic import remove_leftovers

X, Y = np.ones((8, 16), "float32"), np.ones((8, 3), "float32")
FORMS = [("m.keras", False), ("m.weights.h5", True), ("m.h5", False)]


@pytest.fixture(scope="module")
def model():
    layers = [keras.Input((16,)), keras.layers.Dense(40), keras.layers.Dense(3)]
    made = kt.sparsify(keras.Sequential(layers), 0.5)
    made.compile("adam", "mse")
    return made


def fit(model, path, weights_only):
    saving = keras.callbacks.ModelCheckpoint(path, save_weights_only=weights_only)
    model.fit(X, Y, verbose=0, callbacks=[saving])


@pytest.mark.parametrize("name, weights_only", FORMS)
def test_model_checkpoint_on_a_full_disk_keeps_the_file_before(name, weights_only, model, tmp_path):
    path = tmp_path / name
    fit(model, path, weights_only)
    before = path.read_bytes()
    for size in (0, 1000, len(before) - 100):
        with room_for(size), pytest.raises(OSError, match=f"{name}' cannot be written: "):
            fit(model, path, weights_only)
        assert list(tmp_path.iterdir()) == [path] and path.read_bytes() == before
    fit(model, path, weights_only)
    assert list(tmp_path.iterdir()) == [path] and path.read_bytes() != before


@pytest.mark.parametrize("name, weights_only", FORMS)
def test_a_kill_or_ctrl_c_while_saving_keeps_the_file_before(
    name, weights_only, model, tmp_path, monkeypatch
):
    path = tmp_path / name
    save = model.save_weights if weights_only else model.save
    save(path)
    before = path.read_bytes()

    def interrupted(descriptor):
        raise KeyboardInterrupt

    def killed(descriptor):
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save(path)
    assert list(tmp_path.iterdir()) == [path] and path.read_bytes() == before
    monkeypatch.setattr(os, "fsync", killed)
    run_killed(lambda: save(path))
    assert len(list(tmp_path.iterdir())) == 2 and path.read_bytes() == before
    remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_is_followed_as_keras_does(model, tmp_path):
    (tmp_path / "latest.keras").symlink_to(tmp_path / "model.keras")
    model.save(tmp_path / "latest.keras")
    assert (tmp_path / "latest.keras").is_symlink()
    assert keras.models.load_model(tmp_path / "model.keras").sparsity == model.sparsity


def test_a_missing_directory_is_named(model, tmp_path):
    with pytest.raises(OSError, match="m.keras' cannot be written: No such file") as failure:
        model.save(tmp_path / "none" / "m.keras")
    assert failure.value.errno == errno.ENOENT
