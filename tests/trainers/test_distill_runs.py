"""`DistillationTrainer`: when distillation ends, saving and resuming."""

import keras
import numpy as np
import pytest
from distillation import LOSS, X, Y, dataset, network, plain, rigl, trained, watched
from slow_cases import slow_unless

import keras_tickets as kt


@pytest.mark.parametrize(
    "end, last, steps_per_execution",
    slow_unless(
        lambda end, last, steps_per_execution: end in (0.6, "13it"),
        [("60%", 12, 1), (0.6, 12, 4), ("1ep", 10, 4), (7, 7, 4), ("13it", 13, 1)],
    ),
)
def test_end_of_distillation(end, last, steps_per_execution):
    """Until `end` as without an end; from there on as hard labels alone from those weights."""

    def make(end):
        return kt.trainers.DistillationTrainer(kt.sparsify(plain(), 0.5), plain(7), end=end)

    def sgd():
        return keras.optimizers.SGD(0.1)

    trainer = make(end)
    trainer.compile(sgd(), LOSS, steps_per_execution=steps_per_execution)
    trainer.fit(dataset(10), epochs=2, verbose=0)

    oracle = make(None)
    oracle.compile(sgd(), LOSS)
    batches = [*dataset(10), *dataset(10)]
    for x, y in batches[:last]:
        oracle.train_on_batch(x, y)
    oracle.student.compile(sgd(), LOSS)
    for x, y in batches[last:]:
        oracle.student.train_on_batch(x, y)
    for a, b in zip(trainer.student.weights, oracle.student.weights, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_the_teacher_does_not_run_after_the_end():
    teacher, seen = watched(plain(7))
    trainer = kt.trainers.DistillationTrainer(plain(), teacher, end=3)
    trainer.compile("sgd", LOSS)
    seen.batches.clear()
    trainer.fit(dataset(10), verbose=0)
    assert len(seen.batches) == 3


def test_an_end_that_is_not_known_is_named():
    trainer = kt.trainers.DistillationTrainer(plain(), plain(7), end="50%")
    trainer.compile("sgd", LOSS)
    with pytest.raises(ValueError, match="`total_steps` is not known"):
        trainer.train_on_batch(X, Y)
    trainer.set_total_steps(10)
    trainer.train_on_batch(X, Y)


@pytest.mark.slow
def test_save_and_go_on(tmp_path):
    def make():
        features = keras.distillation.FeatureDistillation(
            keras.losses.MeanSquaredError(), teacher_layer_name="fc1", student_layer_name="fc1"
        )
        trainer = kt.trainers.DistillationTrainer(
            kt.sparsify(plain(), 0.5),
            kt.sparsify(network(7), 0.5),
            temperature=3,
            end="75%",
            distillation_losses=[features],
            distillation_loss_weights=[0.5],
        )
        trainer.compile(rigl(), LOSS, metrics=["accuracy"])
        return trainer

    class StopAfterOne(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = True

    whole, part = make(), make()
    whole.fit(dataset(20), epochs=2, verbose=0)
    part.fit(dataset(20), epochs=2, verbose=0, callbacks=[StopAfterOne()])
    part.save(tmp_path / "trainer.keras")
    loaded = keras.models.load_model(tmp_path / "trainer.keras")
    assert isinstance(loaded, kt.trainers.DistillationTrainer)
    assert isinstance(loaded.student, kt.SparseModel)
    assert loaded.soft_labels.temperature == 3
    for a, b in zip(part.teachers[0].weights, loaded.teachers[0].weights, strict=True):
        np.testing.assert_array_equal(a, b)
    loaded.fit(dataset(20), initial_epoch=1, epochs=2, verbose=0)
    for a, b in zip(whole.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(whole.optimizer.variables, loaded.optimizer.variables, strict=True):
        np.testing.assert_array_equal(a, b)
    stripped = kt.strip(loaded.student)
    np.testing.assert_allclose(stripped(X), whole.student(X), atol=1e-5)


def test_weights_files(tmp_path):
    trainer = trained(kt.trainers.DistillationTrainer(kt.sparsify(plain(), 0.5), plain(7)), rigl())
    trainer.save_weights(tmp_path / "t.weights.h5")
    other = kt.trainers.DistillationTrainer(kt.sparsify(plain(3), 0.5, seed=5), plain(8))
    other.load_weights(tmp_path / "t.weights.h5")
    for a, b in zip(trainer.student.weights, other.student.weights, strict=True):
        np.testing.assert_array_equal(a, b)


def run_of(directory, epochs, cached=None):
    digits = kt.data.load("digits", batch_size=200, seed=1)

    def lenet(seed):
        return kt.models.lenet_300_100(digits.input_shape, seed=seed)

    teacher, data = lenet(1), None
    checkpoint = kt.callbacks.Checkpoint(directory)
    start = checkpoint.initial_epoch
    data = digits.train(start)
    if cached:
        logits = kt.trainers.cache_logits(cached, teacher, digits.train_once())
        data, teacher = logits.attach(data), None
    student = kt.sparsify(lenet(0), 0.9)
    trainer = kt.trainers.DistillationTrainer(student, teacher, end=15)
    trainer.compile(rigl(end=20), LOSS, metrics=["accuracy"])
    trainer.fit(
        data,
        steps_per_epoch=digits.steps_per_epoch,
        initial_epoch=start,
        epochs=epochs,
        shuffle=False,
        callbacks=[checkpoint],
        verbose=0,
    )
    return trainer, checkpoint.history


@pytest.mark.slow
@pytest.mark.parametrize("with_cache", [False, True])
def test_resumed_run_ends_as_the_uninterrupted_one(tmp_path, with_cache):
    cached = tmp_path / "logits.npz" if with_cache else None
    whole, history = run_of(tmp_path / "whole", 4, cached)
    run_of(tmp_path / "parts", 2, cached)
    resumed, resumed_history = run_of(tmp_path / "parts", 4, cached)
    assert history == resumed_history
    assert len(history["loss"]) == 4
    for a, b in zip(whole.student.variables, resumed.student.variables, strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(whole.optimizer.variables, resumed.optimizer.variables, strict=True):
        np.testing.assert_array_equal(a, b)
