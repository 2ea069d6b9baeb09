import os
import shutil
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf
from checkpointed_runs import assert_same, network, state, train
from faults import room_for, run_killed

from keras_tickets import data
from keras_tickets._files.atomic import creating
from keras_tickets._files.checkpoints import read_checkpoint
from keras_tickets.callbacks import Checkpoint, StopOnNaN
from keras_tickets.callbacks.checkpoint import SCHEMA


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of two epochs that keeps both checkpoints: its directory, its model, its callback."""
    directory = tmp_path_factory.mktemp("run")
    return directory, *train(directory, 2, keep=2)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of four epochs that keeps two checkpoints: its directory, its model, its callback."""
    directory = tmp_path_factory.mktemp("whole")
    return directory, *train(directory, 4, keep=2)


def begin(run, directory, epochs=1):
    """A directory in which a run of so many epochs has left all its checkpoints."""
    for epoch in range(1, epochs + 1):
        name = f"epoch_{epoch:06d}"
        shutil.copytree(run[0] / name, directory / name)


def test_steps_per_call_may_change_between_runs_and_what_an_epoch_is_may_not(
    run, tmp_path, monkeypatch
):
    begin(run, tmp_path / "parts")
    with pytest.raises(ValueError, match="steps_per_epoch is 14, was 7.* batch size"):
        train(tmp_path / "parts", 2, batch_size=100)
    with monkeypatch.context() as patch:
        patch.setattr("keras_tickets.callbacks.checkpoint.count_workers", lambda strategy: 2)
        with pytest.raises(ValueError, match="workers is 2, was 1"):
            train(tmp_path / "parts", 2)
    model = network()
    model.steps_per_execution = 7
    resumed, _ = train(tmp_path / "parts", 2, model)
    assert_same(run[1], resumed)


def test_resumed_run_ends_as_the_uninterrupted_one(run, whole, tmp_path):
    _, uninterrupted, reference = whole
    begin(run, tmp_path / "parts", 2)
    assert Checkpoint(tmp_path / "parts").initial_epoch == 2
    train(tmp_path / "parts", 3)
    resumed, checkpoint = train(tmp_path / "parts", 4)
    assert_same(uninterrupted, resumed)
    assert checkpoint.history == reference.history
    assert checkpoint.epochs == reference.epochs == [0, 1, 2, 3]
    assert len(checkpoint.history["accuracy"]) == 4
    assert checkpoint.seconds > 0
    assert [p.name for p in (tmp_path / "parts").iterdir()] == ["epoch_000004"]


def test_finished_run_is_restored_and_not_trained(run, tmp_path):
    begin(run, tmp_path, 2)
    again, checkpoint = train(tmp_path, 2)
    assert_same(run[1], again)
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


def test_keeps_the_newest(whole):
    assert sorted(p.name for p in whole[0].iterdir()) == ["epoch_000003", "epoch_000004"]


@pytest.mark.parametrize("name", ["variables.safetensors", "checkpoint.json"])
@pytest.mark.parametrize("damage", ["truncated", "missing", "changed"])
def test_damaged_checkpoint_is_named(run, tmp_path, name, damage):
    begin(run, tmp_path)
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


def test_falls_back_to_the_one_before_and_says_so(run, whole, tmp_path):
    begin(run, tmp_path / "parts", 2)
    file = tmp_path / "parts" / "epoch_000002" / "variables.safetensors"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.warns(UserWarning, match="damaged.*using epoch_000001 instead"):
        resumed, checkpoint = train(tmp_path / "parts", 4, keep=2)
    assert_same(whole[1], resumed)
    assert checkpoint.epochs == [0, 1, 2, 3]


def test_foreign_checkpoints_are_refused(run, tmp_path):
    begin(run, tmp_path)
    with pytest.raises(ValueError, match=r"another model.*fc1/kernel.*\(64, 8\).*\(64, 9\)"):
        train(tmp_path, 2, network(units=9))
    with pytest.raises(
        ValueError, match=r"of its 23 variables the first that differs is adam.* sgd"
    ):
        train(tmp_path, 2, network(optimizer=keras.optimizers.SGD(momentum=0.9)))


def test_fit_must_start_where_the_checkpoint_ends(run, tmp_path):
    begin(run, tmp_path, 2)
    digits = data.load("digits", batch_size=200)
    with pytest.raises(ValueError, match="after 2 epochs, but `fit` starts at epoch 0"):
        network().fit(
            digits.train(), steps_per_epoch=7, callbacks=[Checkpoint(tmp_path)], verbose=0
        )


class Poison(keras.callbacks.Callback):
    def on_train_batch_begin(self, batch, logs=None):
        if int(self.model.optimizer.iterations) == 16:
            kernel = self.model.layers[-1].kernel
            kernel.assign(kernel * np.nan)


def test_nan_stops_with_the_step_and_keeps_the_last_good_checkpoint(whole, tmp_path):
    message = r"the loss is nan at optimizer step 17 \(epoch 3\)"
    with pytest.raises(ValueError, match=message):
        train(tmp_path, 4, callbacks=[Poison(), StopOnNaN()])
    assert Checkpoint(tmp_path).initial_epoch == 2
    resumed, _ = train(tmp_path, 4)
    assert_same(whole[1], resumed)


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


def test_leftovers_of_a_kill_are_removed_and_nothing_else_is(run, tmp_path):
    begin(run, tmp_path)

    def write_half():
        with creating(tmp_path / "epoch_000002") as temporary:
            temporary.mkdir()
            (temporary / "checkpoint.json").write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)

    mine = {
        ".writing_thesis": "chapter",
        ".writing_epoch_000002": "chapter",
        ".removing_me": "chapter",
        f".keras_tickets_{'0' * 32}": "chapter",
    }
    for name, content in mine.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "thesis.txt").write_text(content)
    (tmp_path / ".writing_file").write_text("mine")
    before = set(tmp_path.iterdir())
    run_killed(write_half)
    (left,) = set(tmp_path.iterdir()) - before
    assert Checkpoint(tmp_path).initial_epoch == 1 and left.exists()
    train(tmp_path, 2)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"epoch_000002", ".writing_file", *mine}
    assert all((tmp_path / name / "thesis.txt").read_text() == "chapter" for name in mine)


def test_an_older_checkpoint_that_a_kill_left_is_removed_by_a_run_that_has_nothing_to_do(
    run, tmp_path
):
    begin(run, tmp_path, 2)
    train(tmp_path, 2, keep=1)
    assert [path.name for path in tmp_path.iterdir()] == ["epoch_000002"]


def test_a_good_checkpoint_stays_where_the_newest_is_damaged(run, tmp_path):
    begin(run, tmp_path, 2)
    (tmp_path / "epoch_000002" / "checkpoint.json").unlink()
    with pytest.raises(ValueError, match="is damaged"):
        train(tmp_path, 3, keep=1)
    assert (tmp_path / "epoch_000001" / "checkpoint.json").exists()


@pytest.mark.parametrize("kind", ["directory", "file", "link"])
def test_what_has_the_name_of_a_checkpoint_and_is_none_is_left_alone(kind, tmp_path):
    pictures, place = tmp_path / "pictures", tmp_path / "checkpoints"
    pictures.mkdir()
    (pictures / "cat.jpg").write_text("meow")
    place.mkdir()
    path = place / "epoch_000000"
    if kind == "directory":
        pictures.rename(path)
    elif kind == "file":
        path.write_text("meow")
    else:
        path.symlink_to(pictures)
    with pytest.raises(ValueError, match="epoch_000000' has the name of a checkpoint and is not"):
        train(place, 2)
    assert [each.name for each in place.iterdir()] == ["epoch_000000"]
    assert (path if kind == "file" else path / "cat.jpg").read_text() == "meow"


def test_a_file_in_the_place_of_the_directory(tmp_path):
    (tmp_path / "checkpoints").write_text("mine")
    with pytest.raises(NotADirectoryError, match="checkpoints' is not a directory"):
        train(tmp_path / "checkpoints", 1)


def test_a_renamed_checkpoint_is_not_of_another_epoch(run, tmp_path):
    begin(run, tmp_path)
    (tmp_path / "epoch_000001").rename(tmp_path / "epoch_000002")
    with pytest.raises(ValueError, match="is of a checkpoint after 1 epochs"):
        train(tmp_path, 3)


@pytest.mark.parametrize(
    "changed",
    [
        {"epochs": [1, 0]},
        {"history": {"loss": [1.0, 2.0, 3.0]}},
        {"seconds": -1.0},
        {"training": None},
        {"training": {"steps_per_epoch": [7]}},
    ],
)
def test_a_description_that_does_not_agree_with_itself_is_refused(changed, run, monkeypatch):
    directory, _, checkpoint = run
    path = directory / "epoch_000002"
    description, arrays = read_checkpoint(path, SCHEMA)
    monkeypatch.setattr(checkpoint, "_read", lambda: (path, {**description, **changed}, arrays))
    with pytest.raises(ValueError, match="epoch_000002' is damaged: it"):
        checkpoint.on_train_begin()


def test_arrays_of_another_checkpoint_are_refused(run, tmp_path):
    train(tmp_path / "a", 1, network(optimizer=keras.optimizers.Adam(1e-2)))
    begin(run, tmp_path / "b")
    files = [tmp_path / name / "epoch_000001" / "variables.safetensors" for name in ("a", "b")]
    shutil.copy(*files)
    with pytest.raises(ValueError, match="not the arrays that checkpoint.json describes"):
        train(tmp_path / "b", 2)


def test_a_full_disk_is_named_and_the_checkpoint_before_stays(run, tmp_path):
    begin(run, tmp_path)
    with room_for(2000), pytest.raises(OSError, match="epoch_000002' cannot be written: "):
        train(tmp_path, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["epoch_000001"]
    train(tmp_path, 2)
