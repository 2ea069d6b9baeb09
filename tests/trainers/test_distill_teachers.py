"""The teachers of `DistillationTrainer`."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from distillation import LOSS, X, Y, dataset, divergence, network, plain, rigl, trained, watched
from slow_cases import slow_unless

import keras_tickets as kt


def test_the_teacher_sees_the_same_augmented_batch_in_inference_mode_and_never_changes():
    student, of_student = watched(network())
    teacher, of_teacher = watched(network(7))
    before = [variable.numpy() for variable in teacher.variables]
    trainer = kt.trainers.DistillationTrainer(student, teacher)
    noisy = dataset(10).map(lambda x, y: (x + tf.random.normal(tf.shape(x)), y))
    trainer.compile("sgd", LOSS)
    of_student.batches.clear(), of_teacher.batches.clear()
    of_student.modes.clear(), of_teacher.modes.clear()
    trainer.fit(noisy, verbose=0)
    assert len(of_teacher.batches) == 10
    np.testing.assert_array_equal(of_student.batches, of_teacher.batches)
    assert of_teacher.modes == {False}
    assert True in of_student.modes
    for value, variable in zip(before, teacher.variables, strict=True):
        np.testing.assert_array_equal(value, variable)
    assert all(weight.trainable for weight in teacher.trainable_weights)


def test_the_teacher_is_not_among_the_trainers_variables():
    student, teacher = kt.sparsify(network(), 0.5), kt.sparsify(network(7), 0.5)
    trainer = kt.trainers.DistillationTrainer(student, teacher)
    of_teacher = {id(variable) for variable in teacher.variables}
    assert not of_teacher & {id(variable) for variable in trainer.variables}
    assert [id(v) for v in trainer.trainable_variables] == [
        id(v) for v in student.trainable_variables
    ]
    assert kt.get_masks(trainer).keys() == student.masks.keys()


def test_a_teacher_that_trains_off_its_masks_keeps_what_is_there():
    teacher = kt.sparsify(plain(7), 0.5)
    kernel = teacher.get_layer("fc1").layer.kernel
    kernel.assign(np.ones(kernel.shape))
    trained(kt.trainers.DistillationTrainer(plain(), teacher))
    assert kernel.numpy().all()


def test_predict_evaluate_and_metrics_are_the_students():
    student = kt.sparsify(network(), 0.5)
    trainer = kt.trainers.DistillationTrainer(student, network(7))
    trained(trainer)
    student.compile("sgd", LOSS, metrics=["accuracy"])
    expected = student.evaluate(X, Y, verbose=0)
    np.testing.assert_allclose(trainer.evaluate(X, Y, verbose=0), expected, rtol=1e-6)
    np.testing.assert_array_equal(trainer.predict(X, verbose=0), student.predict(X, verbose=0))
    assert trainer.student is student
    assert isinstance(kt.strip(trainer.student), keras.Model)


def test_alpha_1_needs_neither_labels_nor_a_loss():
    student, teacher = kt.sparsify(plain(), 0.3), plain(7)
    trainer = kt.trainers.DistillationTrainer(student, teacher, alpha=1.0)
    trainer.compile(keras.optimizers.Adam(0.02))
    losses = trainer.fit(X, epochs=30, verbose=0).history["loss"]
    assert losses[-1] < 0.1 * losses[0]
    assert trainer.evaluate(X, verbose=0) == pytest.approx(
        divergence(teacher(X).numpy(), student(X).numpy(), 4.0).mean(), rel=1e-4
    )


def test_several_teachers_are_their_mean_logits():
    teachers = [plain(7), plain(8)]
    student = plain()
    trainer = kt.trainers.DistillationTrainer(student, teachers, alpha=1.0)
    trainer.compile(keras.optimizers.SGD(0.0))
    mean = np.mean([teacher(X).numpy() for teacher in teachers], axis=0)
    expected = divergence(mean, student(X).numpy(), 4.0).mean()
    assert trainer.train_on_batch(X) == pytest.approx(expected, rel=1e-5)


def test_probabilities_are_taken_as_such_when_told():
    teacher = network(7)
    softened = keras.Sequential([teacher, keras.layers.Softmax()])
    losses = []
    for model, outputs in ((teacher, "logits"), (softened, "probabilities")):
        trainer = kt.trainers.DistillationTrainer(
            plain(), model, alpha=1.0, teacher_outputs=outputs
        )
        trainer.compile(keras.optimizers.SGD(0.0))
        losses.append(trainer.train_on_batch(X))
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


@pytest.mark.parametrize(
    "kind, jit_compile",
    slow_unless(
        lambda kind, jit_compile: not jit_compile,
        itertools.product(["keras", "savedmodel"], [False, True]),
    ),
)
def test_teachers_from_files(tmp_path, kind, jit_compile):
    teacher = network(7)
    path = tmp_path / ("teacher.keras" if kind == "keras" else "teacher")
    teacher.save(path) if kind == "keras" else teacher.export(path, verbose=False)
    results = []
    for each in (teacher, path):
        student = kt.sparsify(plain(), 0.5)
        trained(
            kt.trainers.DistillationTrainer(student, each),
            rigl(),
            jit_compile=jit_compile,
        )
        results.append(student.get_weights())
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
