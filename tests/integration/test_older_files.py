"""Files that an older version wrote are read, and what they hold is what it was."""

import json
import pathlib
import shutil

import keras
import numpy as np
import pytest

import keras_tickets as kt
from keras_tickets.masks import masked_kernels
from keras_tickets.trainers.teachers import Teachers, load_teachers

OLD = pathlib.Path(__file__).parents[1] / "data" / "version_0_1_0_dev0"
IMAGES = np.random.default_rng(0).normal(size=(64, 6, 6, 1)).astype("float32")
LABELS = np.random.default_rng(1).integers(0, 3, 64)
SPARSE_TEACHER = "865e6e8a4503d8b40a421197a20caea425d928aa61f9b7178176dcf7fe2ad15d"
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def expected(name):
    with np.load(OLD / f"{name}_expected.npz") as file:
        masks = {key[len("mask:") :]: file[key] for key in file.files if key.startswith("mask:")}
        return file["outputs"], masks


def assert_is(model, name):
    outputs, masks = expected(name)
    np.testing.assert_allclose(model.predict(IMAGES[:4], verbose=0), outputs, atol=1e-6)
    found = kt.get_masks(model)
    assert list(found) == list(masks)
    for path, mask in masks.items():
        np.testing.assert_array_equal(found[path], mask)


@pytest.mark.parametrize("name", ["rigl", "gradual", "snfs", "top_kast"])
def test_a_saved_model_loads_compiled_and_trains_on(name):
    model = keras.models.load_model(OLD / f"{name}.keras")
    assert_is(model, name)
    steps = int(model.optimizer.iterations.numpy())
    assert steps > 0
    model.fit(IMAGES, LABELS, batch_size=16, epochs=1, verbose=0)
    assert int(model.optimizer.iterations.numpy()) == steps + 4


def test_the_optimizers_slots_come_back():
    model = keras.models.load_model(OLD / "rigl.keras")
    slots = [slot.numpy() for slot in model.optimizer.slots]
    assert slots and all(np.any(slot) for slot in slots)


def test_a_weights_file_loads_with_its_masks():
    model = keras.models.load_model(OLD / "rigl.keras", compile=False)
    for weight in model.trainable_weights:
        weight.assign(np.zeros(weight.shape))
    kt.set_masks(model, {path: np.ones_like(mask) for path, mask in model.masks.items()})
    model.load_weights(OLD / "rigl.weights.h5")
    assert_is(model, "rigl")


def test_a_ticket_applies():
    model = keras.models.load_model(OLD / "rigl.keras", compile=False)
    ticket = kt.load_ticket(OLD / "rigl.ticket")
    assert_is(ticket.apply(kt.strip(model)), "rigl")


def test_a_checkpoint_resumes(tmp_path):
    directory = shutil.copytree(OLD / "rigl_checkpoints", tmp_path / "checkpoints")
    model = keras.models.load_model(OLD / "rigl.keras", compile=False)
    inner = keras.optimizers.Adam(1e-2)
    model.compile(kt.optimizers.RigL(inner, update_every=2, end=10), LOSS, metrics=["accuracy"])
    checkpoint = kt.callbacks.Checkpoint(directory)
    assert checkpoint.initial_epoch == 3
    model.fit(
        IMAGES,
        LABELS,
        batch_size=16,
        epochs=4,
        initial_epoch=checkpoint.initial_epoch,
        shuffle=False,
        verbose=0,
        callbacks=[checkpoint],
    )
    assert int(model.optimizer.iterations.numpy()) == 16


def test_a_level_store_is_read_and_extended(tmp_path):
    store = shutil.copytree(OLD / "levels", tmp_path / "levels")
    start = keras.models.load_model(OLD / "levels_start.keras")
    trainer = kt.trainers.RewindTrainer(start, levels=3, rate=0.4, rewind_to="2it", store=store)
    trainer.compile(keras.optimizers.SGD(0.1, momentum=0.9), LOSS, metrics=["accuracy"])
    before = json.loads((OLD / "levels_results.json").read_text())
    assert trainer.results == before
    trainer.fit(IMAGES, LABELS, batch_size=16, epochs=2, verbose=0)
    assert trainer.results[:3] == before and len(trainer.results) == 4
    _, masks = expected("levels")
    for path, mask in trainer.ticket(3).masks.items():
        assert mask.sum() < masks[path].sum() and not np.any(mask & ~masks[path])


def test_a_teachers_logits_are_found(tmp_path):
    file = shutil.copy(OLD / "teacher_logits.npz", tmp_path)
    teacher = OLD / "levels_start.keras"
    logits = kt.trainers.cache_logits(file, teacher, IMAGES)
    expected = keras.models.load_model(teacher, compile=False).predict(IMAGES, verbose=0)
    np.testing.assert_allclose(logits.lookup(IMAGES), expected, atol=1e-6)
    assert pathlib.Path(file).read_bytes() == (OLD / "teacher_logits.npz").read_bytes()
    with pytest.raises(ValueError, match="is of another teacher"):
        kt.trainers.cache_logits(file, OLD / "rigl.keras", IMAGES)


def test_logits_of_a_sparse_teacher_are_told_by_its_weights_and_masks():
    """By the digest that the older version put into its files of logits."""
    (teacher,) = load_teachers(OLD / "rigl.keras")
    assert Teachers([teacher]).digest() == SPARSE_TEACHER
    record = next(iter(masked_kernels(teacher)))
    record.mask.assign(~record.mask.numpy())
    assert Teachers([teacher]).digest() != SPARSE_TEACHER
