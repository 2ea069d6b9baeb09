"""Logits of a teacher kept in a file."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from networks import LOSS, mlp

import keras_tickets as kt

RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 8)).astype("float32")
Y = RNG.integers(0, 3, 50)


def network(seed=0, activation=None):
    return mlp(8, (), output=activation, seed=seed)


def batches(x=X, size=16):
    return tf.data.Dataset.from_tensor_slices((x, Y[: len(x)])).batch(size)


def cache(tmp_path, teacher=None, data=None, **kwargs):
    path = tmp_path / "logits.safetensors"
    return kt.trainers.cache_logits(
        path, teacher or network(), batches() if data is None else data, **kwargs
    )


def test_each_input_gets_its_own_logits_in_any_order(tmp_path):
    logits = cache(tmp_path)
    assert len(logits) == 50
    seen = 0
    for x, targets in logits.attach(batches().unbatch().shuffle(50).batch(7)):
        np.testing.assert_allclose(targets["teacher_logits"], network()(x), atol=1e-6)
        assert targets["labels"].shape == x.shape[:1]
        seen += len(x)
    assert seen == 50
    np.testing.assert_allclose(logits.lookup_all(batches()), network()(X), atol=1e-6)
    np.testing.assert_allclose(logits.lookup(X[9:3:-1]), network()(X[9:3:-1]), atol=1e-6)


def test_forms_of_data(tmp_path):
    logits = cache(tmp_path, data=tf.data.Dataset.from_tensor_slices(X).batch(20))
    np.testing.assert_array_equal(cache(tmp_path, data=X.copy()).logits, logits.logits)
    weighted = tf.data.Dataset.from_tensor_slices((X, Y, np.ones(50))).batch(10)
    x, targets, weights = next(iter(logits.attach(weighted)))
    assert set(targets) == {"labels", "teacher_logits"} and weights.shape == (10,)
    x, targets = next(iter(logits.attach(tf.data.Dataset.from_tensor_slices(X).batch(10))))
    assert set(targets) == {"teacher_logits"}


def test_several_inputs(tmp_path):
    inputs = {"a": keras.Input((4,), name="a"), "b": keras.Input((4,), name="b")}
    outputs = keras.layers.Dense(3)(keras.layers.Subtract()([inputs["a"], inputs["b"]]))
    teacher = keras.Model(inputs, outputs)
    x = {"a": X[:, :4], "b": X[:, 4:]}
    logits = cache(tmp_path, teacher, tf.data.Dataset.from_tensor_slices((x, Y)).batch(16))
    np.testing.assert_allclose(logits.lookup(x), teacher(x), atol=1e-6)
    with pytest.raises(ValueError, match="another data set"):
        logits.lookup({"a": x["b"], "b": x["a"]})


def test_the_file_is_used_and_the_teacher_does_not_run_again(tmp_path):
    first = cache(tmp_path)
    stamp = (tmp_path / "logits.safetensors").stat().st_mtime_ns

    class Busy(keras.Sequential):
        def call(self, *args, **kwargs):
            raise AssertionError("the teacher ran")

    teacher = Busy([keras.Input((8,)), keras.layers.Dense(3)])
    teacher.set_weights(network().get_weights())
    again = cache(tmp_path, teacher)
    np.testing.assert_array_equal(first.logits, again.logits)
    assert (tmp_path / "logits.safetensors").stat().st_mtime_ns == stamp
    assert [path.name for path in tmp_path.iterdir()] == ["logits.safetensors"]


def test_training_from_the_cache_is_training_from_the_teacher(tmp_path):
    teacher, students = network(3), [kt.sparsify(network(), 0.5) for _ in range(2)]
    logits = cache(tmp_path, teacher)
    for student, model, data in (
        (students[0], teacher, batches()),
        (students[1], None, logits.attach(batches())),
    ):
        trainer = kt.trainers.DistillationTrainer(student, model)
        trainer.compile(keras.optimizers.SGD(0.1), LOSS, metrics=["accuracy"])
        trainer.fit(data, epochs=3, verbose=0, validation_data=batches())
    for a, b in zip(students[0].weights, students[1].weights, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_augmented_epochs_are_cached_by_what_the_student_sees(tmp_path):
    images = RNG.integers(0, 255, (40, 6, 6, 1), dtype="uint8")

    def make(seed=0):
        def augment(images, draws):
            return kt.data.augmentation.crop_and_flip(images, draws, padding=2)

        pair = (images, np.arange(40) % 3)
        return kt.data.Dataset("toy", pair, pair, batch_size=8, seed=seed, augment=augment)

    teacher = keras.Sequential([keras.Input((6, 6, 1)), keras.layers.Flatten()])
    teacher.add(keras.layers.Dense(3))
    logits = cache(tmp_path, teacher, make().train().take(3 * 5))
    assert 60 < len(logits) <= 120
    for x, targets in logits.attach(make().train(start_epoch=1)).take(2 * 5):
        np.testing.assert_allclose(targets["teacher_logits"], teacher(x), atol=1e-5)
    with pytest.raises(tf.errors.InvalidArgumentError, match="another augmentation seed"):
        list(logits.attach(make().train(start_epoch=3)).take(5))
    with pytest.raises(ValueError, match="another data set"):
        cache(tmp_path, teacher, make(seed=1).train().take(5))


def test_targets_of_our_data_sets_follow_the_order_of_an_epoch(tmp_path):
    digits = kt.data.load("digits", batch_size=64)
    teacher = kt.models.lenet_300_100(digits.input_shape)
    rows = cache(tmp_path, teacher, digits.train_once()).lookup_all(digits.train_once())
    plain, more = digits.train(1).take(3), digits.train(1, {"teacher_logits": rows}).take(3)
    for (x, y), (same, targets) in zip(plain, more, strict=True):
        np.testing.assert_array_equal(x, same)
        np.testing.assert_array_equal(y, targets["labels"])
        np.testing.assert_allclose(targets["teacher_logits"], teacher(x), atol=1e-5)
    with pytest.raises(ValueError, match="a row for each .* 5 rows of 'teacher_logits'"):
        digits.train(targets={"teacher_logits": rows[:5]})


def test_another_teacher_is_refused_and_the_file_kept(tmp_path):
    cache(tmp_path)
    content = (tmp_path / "logits.safetensors").read_bytes()
    with pytest.raises(ValueError, match=r"logits.safetensors' is of another teacher"):
        cache(tmp_path, network(seed=1))
    with pytest.raises(ValueError, match="another data set"):
        cache(tmp_path, data=batches(X + 1))
    assert (tmp_path / "logits.safetensors").read_bytes() == content


def test_an_input_that_is_not_in_the_cache_stops_fit(tmp_path):
    logits = cache(tmp_path, data=batches(X[:40]))
    trainer = kt.trainers.DistillationTrainer(network())
    trainer.compile("sgd", LOSS)
    with pytest.raises(
        tf.errors.InvalidArgumentError, match="logits.safetensors.* no teacher logits"
    ):
        trainer.fit(logits.attach(batches()), verbose=0)


@pytest.mark.parametrize("damage", ["truncated", "changed", "other"])
def test_damaged_file(tmp_path, damage):
    cache(tmp_path)
    path = tmp_path / "logits.safetensors"
    content = bytearray(path.read_bytes())
    if damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "changed":
        content[len(content) // 2] ^= 255
        path.write_bytes(content)
    else:
        np.savez(tmp_path / "other.npz", keys=np.array([object()]))
        (tmp_path / "other.npz").rename(path)
    with pytest.raises(ValueError, match=r"logits.safetensors' is damaged"):
        cache(tmp_path)


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"data": batches().repeat()}, "`data` has no end"),
        ({"data": batches().take(0)}, "`data` is empty"),
        ({"teacher": network(activation="softmax")}, "gives probabilities, not logits"),
        ({"teacher_outputs": "probabilities"}, "does not give probabilities"),
    ],
)
def test_bad_input(tmp_path, arguments, words):
    with pytest.raises(ValueError, match=words):
        cache(tmp_path, **arguments)
    assert not list(tmp_path.iterdir())


def test_probabilities(tmp_path):
    logits = cache(tmp_path, network(activation="softmax"), teacher_outputs="probabilities")
    expected = keras.ops.log_softmax(network()(X))
    np.testing.assert_allclose(logits.lookup(X), expected, atol=1e-5)


def test_class_counts_differ(tmp_path):
    logits = cache(tmp_path)
    student = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    trainer = kt.trainers.DistillationTrainer(student)
    trainer.compile("sgd", LOSS)
    with pytest.raises(ValueError, match=r"teacher \(None, 3\).*student \(None, 4\)"):
        trainer.fit(logits.attach(batches()), verbose=0)
