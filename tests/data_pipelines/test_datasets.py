import itertools
import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_tickets import data
from keras_tickets.data.augmentation import crop_and_flip
from keras_tickets.data.downsampling import halve
from keras_tickets.trainers.epochs import Epochs


def toy(size=10, **kwargs):
    x = np.arange(size * 4, dtype="float32").reshape(size, 2, 2, 1)
    y = np.arange(size, dtype="int32")
    return data.Dataset("toy", (x, y), (x[:3], y[:3]), **kwargs)


def epochs(dataset, start, count):
    batches = list(
        itertools.islice(dataset.train(start).as_numpy_iterator(), count * dataset.steps_per_epoch)
    )
    size = dataset.steps_per_epoch
    return [batches[i : i + size] for i in range(0, len(batches), size)]


def labels(epoch):
    return np.concatenate([y for _, y in epoch])


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 2**31 - 1), start=st.integers(0, 5), batch=st.integers(1, 10))
def test_an_epoch_is_a_function_of_seed_and_number(seed, start, batch):
    whole = epochs(toy(batch_size=batch, seed=seed), 0, start + 2)
    resumed = epochs(toy(batch_size=batch, seed=seed), start, 2)
    for a, b in zip(whole[start:], resumed, strict=True):
        for (x1, y1), (x2, y2) in zip(a, b, strict=True):
            np.testing.assert_array_equal(x1, x2)
            np.testing.assert_array_equal(y1, y2)
    for epoch in whole:
        drawn = labels(epoch)
        assert len(set(drawn)) == len(drawn) == 10 // batch * batch


def test_order_changes_with_epoch_and_seed_but_not_with_global_state():
    tf.random.set_seed(1)
    first = [labels(e) for e in epochs(toy(40, batch_size=8, seed=3), 0, 2)]
    tf.random.set_seed(2)
    again = [labels(e) for e in epochs(toy(40, batch_size=8, seed=3), 0, 2)]
    other = [labels(e) for e in epochs(toy(40, batch_size=8, seed=4), 0, 2)]
    assert np.array_equal(first, again)
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first[0], other[0])


def test_images_stay_with_their_labels_and_are_standardized():
    dataset = toy(batch_size=5, seed=0)
    x = np.arange(40, dtype="float64").reshape(10, 2, 2, 1)
    expected = (x - x.mean()) / x.std()
    for images, drawn in epochs(dataset, 0, 1)[0]:
        np.testing.assert_allclose(images, expected[drawn], rtol=1e-5, atol=1e-6)
    ((images, drawn),) = dataset.test().as_numpy_iterator()
    np.testing.assert_array_equal(drawn, [0, 1, 2])
    np.testing.assert_allclose(images, expected[:3], rtol=1e-5, atol=1e-6)


def test_shapes_are_static():
    images, drawn = toy(batch_size=4, seed=0).train().element_spec
    assert images == tf.TensorSpec((4, 2, 2, 1), tf.float32)
    assert drawn == tf.TensorSpec((4,), tf.int32)


def test_augmentation_is_a_function_of_seed_epoch_and_index():
    x = np.random.default_rng(0).integers(0, 255, (30, 8, 8, 3), dtype="uint8")
    y = np.arange(30, dtype="int32")

    def build(batch, seed):
        return data.Dataset(
            "toy",
            (x, y),
            (x, y),
            batch_size=batch,
            seed=seed,
            augment=lambda images, draws: crop_and_flip(images, draws, padding=2),
        )

    def by_index(dataset, start, count):
        return [
            {int(i): image for xs, ys in epoch for image, i in zip(xs, ys, strict=True)}
            for epoch in epochs(dataset, start, count)
        ]

    whole = by_index(build(10, 1), 0, 3)
    other_batching = by_index(build(15, 1), 1, 1)[0]
    assert all(np.array_equal(whole[1][i], other_batching[i]) for i in range(30))
    assert sum(np.array_equal(whole[0][i], whole[1][i]) for i in range(30)) < 10
    other_seed = by_index(build(10, 2), 1, 1)[0]
    assert sum(np.array_equal(whole[1][i], other_seed[i]) for i in range(30)) < 10


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 1000), padding=st.integers(0, 3))
def test_crop_and_flip_matches_numpy(seed, padding):
    rng = np.random.default_rng(seed)
    images = rng.integers(1, 255, (4, 5, 6, 2), dtype="uint8")
    draws = rng.integers(0, 2**31 - 1, (4, 3), dtype="int32")
    result = crop_and_flip(tf.constant(images), tf.constant(draws), padding).numpy()
    for image, (top, left, mirror), got in zip(images, draws, result, strict=True):
        padded = np.pad(image, ((padding, padding), (padding, padding), (0, 0)))
        top, left = top % (2 * padding + 1), left % (2 * padding + 1)
        crop = padded[top : top + 5, left : left + 6]
        np.testing.assert_array_equal(got, crop[:, ::-1] if mirror % 2 else crop)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 1000), height=st.integers(1, 3), width=st.integers(1, 3))
def test_halving_is_the_mean_of_four_pixels(seed, height, width):
    shape = (2, 2 * height, 2 * width, 3)
    images = np.random.default_rng(seed).integers(0, 256, shape, dtype="uint8")
    halved = halve(images)
    assert halved.dtype == np.uint8 and halved.shape == (2, height, width, 3)
    for index in np.ndindex(halved.shape):
        image, row, column, channel = index
        square = images[image, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2, channel]
        assert abs(float(halved[index]) - square.mean()) <= 0.5


def test_digits():
    digits = data.load("digits", batch_size=50)
    assert (digits.classes, digits.input_shape, digits.steps_per_epoch) == (10, (8, 8, 1), 28)
    images, drawn = next(digits.test().as_numpy_iterator())
    assert images.shape == (355, 8, 8, 1)
    assert np.bincount(drawn).tolist() == [35, 36, 35, 36, 36, 36, 36, 35, 34, 36]
    seen = np.concatenate([x for x, _ in epochs(digits, 0, 1)[0]])
    assert abs(seen.mean()) < 0.02 and abs(seen.std() - 1) < 0.02
    held_out = {image.tobytes() for image in images}
    assert not any(image.tobytes() in held_out for image in seen)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**31 - 1), size=st.integers(2, 40), share=st.floats(0.001, 0.7))
def test_training_and_validation_share_the_training_set(seed, size, share):
    held_out = max(round(size * share), 1)
    dataset = toy(size, batch_size=1, seed=seed, validation=share)
    trained = [int(y) for _, y in dataset.train_once().unbatch().as_numpy_iterator()]
    validated = [int(y) for _, y in dataset.validation().unbatch().as_numpy_iterator()]
    assert sorted(trained + validated) == list(range(size))
    assert len(validated) == dataset.held_out == held_out
    assert dataset.steps_per_epoch == size - held_out
    assert dataset.classes == size
    # Whatever the epoch, no batch has an example of the validation.
    assert all(set(labels(epoch)) == set(trained) for epoch in epochs(dataset, 0, 3))


def test_what_is_held_out_is_a_function_of_the_seed_alone():
    def held_out(**kwargs):
        dataset = toy(40, validation=0.25, **kwargs)
        return [int(y) for _, y in dataset.validation().unbatch().as_numpy_iterator()]

    tf.random.set_seed(1)
    first = held_out(batch_size=4, seed=3)
    tf.random.set_seed(2)
    assert first == held_out(batch_size=7, seed=3, test_batch_size=3, steps_per_epoch=1)
    assert first != held_out(batch_size=4, seed=4)
    assert len({tuple(held_out(batch_size=4, seed=seed)) for seed in range(20)}) == 20


def test_parts_have_no_example_in_common_and_are_alike_in_all_else():
    whole = toy(60, batch_size=5, seed=3, validation=0.2, augment=lambda x, draws: -x)
    few, others = whole.split(13)
    assert (few.steps_per_epoch, others.steps_per_epoch) == (2, 7)
    drawn = [labels(part.train_once().as_numpy_iterator()) for part in (few, others)]
    assert [len(part) for part in drawn] == [13, 35]
    held_out = labels(whole.validation().as_numpy_iterator())
    assert sorted(np.concatenate([*drawn, held_out])) == list(range(60))
    standardized = {
        int(y[i]): x[i] for x, y in whole.train_once().as_numpy_iterator() for i in range(len(y))
    }
    for part in (few, others):
        for x, y in part.train_once().as_numpy_iterator():
            np.testing.assert_array_equal(x, [standardized[label] for label in y])
        for x, y in part.train().take(part.steps_per_epoch).as_numpy_iterator():
            assert all((x[i] < standardized[label]).any() for i, label in enumerate(y))
        np.testing.assert_array_equal(labels(part.validation().as_numpy_iterator()), held_out)
        np.testing.assert_array_equal(*(next(iter(d.test()))[0] for d in (part, whole)))
    again, _ = toy(60, batch_size=5, seed=3, validation=0.2).split(13)
    np.testing.assert_array_equal(labels(again.train_once().as_numpy_iterator()), drawn[0])
    for examples in (4, 44, 13.0):
        with pytest.raises(ValueError, match=r"`examples` must be an integer in \[5, 43\]"):
            whole.split(examples)
    with pytest.raises(ValueError, match="cannot be split: it has 48 training examples"):
        toy(60, batch_size=25, validation=0.2).split(25)


def test_images_are_standardized_by_those_that_are_trained_on():
    dataset = toy(20, batch_size=4, validation=0.3)
    x = np.arange(80, dtype="float64").reshape(20, 2, 2, 1)
    trained = [int(y) for _, y in dataset.train_once().unbatch().as_numpy_iterator()]
    expected = (x - x[trained].mean()) / x[trained].std()
    for images, drawn in [*dataset.validation(), *dataset.test(), *dataset.train_once()]:
        np.testing.assert_allclose(images, expected[drawn], rtol=1e-5, atol=1e-5)


def test_the_order_is_that_of_earlier_versions():
    """Runs that an earlier version began go on with the same batches."""
    order = [[7, 8, 6, 0], [4, 5, 3, 9], [6, 3, 0, 9], [4, 1, 5, 2]]
    assert [y.tolist() for _, y in sum(epochs(toy(10, batch_size=4, seed=3), 5, 2), [])] == order
    arrays = Epochs(np.arange(10), batch_size=4, seed=3)
    assert [batch.numpy().tolist() for (batch,) in arrays.batches(5).take(4)] == order


def test_targets_follow_the_examples_that_are_trained_on():
    dataset = toy(10, batch_size=3, validation=0.2)
    rows = np.array([y for _, y in dataset.train_once().unbatch().as_numpy_iterator()])
    for _, found in dataset.train(targets={"row": rows}).take(4):
        np.testing.assert_array_equal(found["row"], found["labels"])
    with pytest.raises(ValueError, match="each of the 8 training examples. Received: 10 rows"):
        dataset.train(targets={"row": np.arange(10)})


@pytest.mark.slow  # an example in the docstrings reads "mnist"
@pytest.mark.parametrize(
    "name, shape, labels_of_test",
    [
        ("mnist", (28, 28, 1), [2, 0, 4, 8, 7, 6, 0, 6, 3, 1]),
        ("cifar10", (32, 32, 3), [7, 0, 6, 9, 5, 1, 7, 0, 3, 2]),
        ("cifar10_16x16", (16, 16, 3), [7, 0, 6, 9, 5, 1, 7, 0, 3, 2]),
    ],
)
def test_published_data_sets(name, shape, labels_of_test):
    directory = pathlib.Path(os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")).expanduser()
    source = data.describe(name).half_of or name
    if not (directory / source).is_dir():
        pytest.skip(f"{source} is not in {directory}; set TFDS_DATA_DIR")
    dataset = data.load(name, batch_size=100)
    assert (dataset.input_shape, dataset.classes) == (shape, 10)
    assert data.describe(name).input_shape == shape
    assert dataset.steps_per_epoch == {"mnist": 600, "cifar10": 500}[source]
    images, drawn = next(dataset.test().as_numpy_iterator())
    assert drawn[:10].tolist() == labels_of_test
    assert images.dtype == np.float32 and abs(images.mean()) < 0.1


def test_other_sets_of_tensorflow_datasets(tmp_path):
    import tensorflow_datasets as tfds

    # Made-up images, prepared where the real ones would be and read as the real ones are.
    (tmp_path / "fashion_mnist" / "3.0.1").mkdir(parents=True)
    with tfds.testing.mock_data(num_examples=20, data_dir=tmp_path):
        dataset = data.load("fashion_mnist", batch_size=4, data_dir=str(tmp_path))
    assert (dataset.classes, dataset.input_shape, dataset.steps_per_epoch) == (10, (28, 28, 1), 5)
    (tmp_path / "cifar100" / "3.0.2").mkdir(parents=True)
    with tfds.testing.mock_data(num_examples=200, data_dir=tmp_path):
        dataset = data.load("cifar100", batch_size=20, data_dir=str(tmp_path))
    assert 10 < dataset.classes <= 100 and dataset.input_shape == (32, 32, 3)
    one, other = (next(iter(dataset.train(epoch)))[0] for epoch in (0, 1))
    assert not np.array_equal(one, other)


def test_without_network_it_fails_at_once_and_writes_nothing(monkeypatch, tmp_path):
    def no_network(*args):
        raise OSError("no route to host\nand a long story")

    monkeypatch.setattr("socket.getaddrinfo", no_network)
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with pytest.raises(ValueError, match="no route to host .*TFDS_DATA_DIR") as caught:
        data.load("fashion_mnist")
    assert "'fashion_mnist'" in str(caught.value) and str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_fewer_steps_per_epoch_are_the_first_of_each_epoch():
    whole, part = toy(batch_size=2, seed=1), toy(batch_size=2, seed=1, steps_per_epoch=3)
    for a, b in zip(epochs(whole, 0, 3), epochs(part, 0, 3), strict=True):
        assert np.array_equal(labels(a)[:6], labels(b))


def test_descriptions_are_right():
    assert data.describe("digits").input_shape == data.load("digits").input_shape
    assert data.describe("digits").classes == data.load("digits").classes


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda: data.load("mnits"),
            "`name` must be one of .*'cifar10_16x16', 'imagenet2012'.*name='mnits'",
        ),
        (lambda: data.load("digits", 0), r"`batch_size` must be an integer in \[1, 1442\]"),
        (lambda: data.load("digits", 5000), r"in \[1, 1442\]. Received: batch_size=5000"),
        (lambda: data.load("digits", seed=-1), "`seed` must be"),
        (lambda: data.load("digits", test_batch_size=0), "`test_batch_size` must be"),
        (
            lambda: data.load("digits", 100, steps_per_epoch=15),
            r"in \[1, 14\]. Received: steps_per_epoch=15",
        ),
        (lambda: data.load("digits", 1400, validation=0.1), r"in \[1, 1298\].*batch_size=1400"),
        (lambda: data.load("digits", validation=1.0), r"`validation` must be a number in \[0, 1\)"),
        (lambda: toy(3, batch_size=1, validation=0.9), "validation=0.9, which holds out 3 of 3"),
        (
            lambda: data.load("digits").validation(),
            "holds out no training examples.*validation=0.1",
        ),
        (lambda: data.load("digits").train(-1), "`start_epoch` must be"),
        (lambda: data.load("digits").train(True), "`start_epoch` must be"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
