"""Data sets of the user's: arrays, files and folders, own batches, and streams."""

import itertools
import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from keras_tickets import data
from keras_tickets.data.augmentation import crop_and_flip
from keras_tickets.data.named import as_source


def table(targets, inputs=None, **kwargs):
    x = np.arange(40.0).reshape(20, 2) if inputs is None else inputs
    return data.Arrays("table", (x, targets), (x[:5], targets[:5]), **kwargs)


def all_of(dataset):
    """The (inputs, targets) of a finite `tf.data.Dataset`, joined."""
    return [np.concatenate(part) for part in zip(*dataset.as_numpy_iterator(), strict=True)]


@pytest.mark.parametrize(
    "targets, dtype, shape, outputs",
    [
        (np.arange(20) % 3, "int32", (), 3),
        (np.arange(20.0), "float32", (), 1),
        (np.ones((20, 4)), "float32", (4,), 4),
        (np.arange(20) > 3, "bool", (), 1),
        (np.ones((20, 2), bool), "bool", (2,), 2),
        (np.arange(40, dtype="uint8").reshape(20, 2), "int32", (2,), 40),
    ],
)
def test_arrays_say_what_is_learned(targets, dtype, shape, outputs):
    source = table(targets)
    assert (source.targets.dtype, tuple(source.targets.shape)) == (dtype, shape)
    assert (source.outputs, source.examples) == (outputs, 20)
    x, y = all_of(source.load(batch_size=4).train_once())
    np.testing.assert_array_equal(y, targets.astype(dtype))
    assert x.dtype == source.inputs.dtype and abs(x.mean()) < 1e-6 and x.std() == pytest.approx(1)


def test_tokens_are_left_as_they_are():
    tokens = np.arange(60).reshape(20, 3) % 7
    x, _ = all_of(table(tokens, tokens).load(batch_size=4).train_once())
    np.testing.assert_array_equal(x, tokens)


def test_npz(tmp_path):
    file = tmp_path / "prices.npz"
    arrays = {"x_train": np.eye(6), "y_train": np.arange(6.0), "x_test": np.eye(6)[:2]}
    np.savez(file, **arrays, y_test=np.arange(2.0))
    source = data.npz(file, standardize=False)
    x, y = all_of(source.load(batch_size=3).test())
    assert source.name == "prices" and x.tolist() == np.eye(6)[:2].tolist() and y.tolist() == [0, 1]
    np.savez(file, **arrays)
    with pytest.raises(ValueError, match="no y_test; its arrays are x_train, y_train, x_test"):
        data.npz(file)


def test_text(tmp_path):
    text = "to be or not to be, that is the question. " * 30
    (tmp_path / "play.txt").write_text(text)
    source = data.text_file(tmp_path / "play.txt", length=20, test_share=0.2)
    batches = source.load(batch_size=8)
    vocabulary = sorted(set(text))
    assert source.outputs == len(vocabulary) and source.inputs.dtype == "int32"
    x, y = all_of(batches.train_once())
    end = round(0.8 * len(text))
    assert len(x) == (end - 1) // 20
    assert "".join(vocabulary[i] for i in x.ravel()) == text[: x.size]
    assert "".join(vocabulary[i] for i in y.ravel()) == text[1 : x.size + 1]
    x, _ = all_of(batches.test())
    assert "".join(vocabulary[i] for i in x[0]) == text[end : end + 20]
    words = data.text_file(tmp_path / "play.txt", length=5, tokens="words")
    assert words.outputs == len(set(text.split()))


def test_bytes_of_two_texts(tmp_path):
    (tmp_path / "train.txt").write_bytes(bytes(range(200, 256)) * 4)
    (tmp_path / "test.txt").write_bytes(b"abcdefgh" * 3)
    files = {"path": tmp_path / "train.txt", "test_path": tmp_path / "test.txt"}
    source = data.text_file(**files, length=10, tokens="bytes")
    batches = source.load(batch_size=2)
    assert (source.name, source.outputs, source.examples) == ("train", 256, 22)
    x, y = all_of(batches.train_once())
    assert x.ravel()[:60].tolist() == [*range(200, 256), *range(200, 204)]
    assert (y.ravel()[:-1] == x.ravel()[1:]).all()
    x, y = all_of(batches.test())
    assert bytes(x.astype("uint8").ravel()) == (b"abcdefgh" * 3)[:20] and len(y) == 2
    words = data.text_file(**files | {"path": tmp_path / "test.txt"}, length=3, tokens="characters")
    assert words.outputs == 8  # of both texts together


def test_tiny_shakespeare_is_what_its_description_says():
    source = data.tiny_shakespeare(length=128)
    try:
        batches = source.load(batch_size=32)
    except ValueError as error:
        pytest.skip(str(error))
    x, y = next(batches.train_once().as_numpy_iterator())
    assert bytes(x[0].astype("uint8")).startswith(b"First Citizen:\nBefore we proceed")
    assert (x.dtype, x.shape, y[0, :-1].tolist()) == ("int32", (32, 128), x[0, 1:].tolist())
    assert batches.steps_per_epoch == source.examples // 32 == 245
    assert sum(len(x) for x, _ in batches.test()) == 55_769 // 128


def picture(path, value, shape=(4, 6, 3)):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(tf.io.encode_png(tf.fill(shape, np.uint8(value))).numpy())


@pytest.fixture
def pets(tmp_path):
    for label, kind in enumerate(("cats", "dogs")):
        for number in range(10):
            picture(tmp_path / "pets" / kind / f"{number}.png", 100 * label + number)
    (tmp_path / "pets" / "cats" / "notes.txt").write_text("not an image")
    (tmp_path / "pets" / ".hidden").mkdir()
    return tmp_path / "pets"


def test_a_folder_of_images(pets):
    source = data.image_folder(pets, (4, 6))
    train, test = source.read()
    assert [image[0, 0, 0] for image in test[0]] == [4, 9, 104, 109]
    assert (len(train[0]), source.examples, source.outputs) == (16, 16, 2)
    assert train[1].tolist() == [0] * 8 + [1] * 8 and train[0].shape == (16, 4, 6, 3)
    for kind in ("cats", "dogs"):
        (pets / kind).rename(pets.parent / kind)
        picture(pets / "test" / kind / "a.png", 7)
        (pets / "train").mkdir(exist_ok=True)
        (pets.parent / kind).rename(pets / "train" / kind)
    split = data.image_folder(pets, [2, 2], channels=1)
    train, test = split.read()
    assert (len(train[0]), test[0].shape, test[1].tolist()) == (20, (2, 2, 2, 1), [0, 1])


def test_images_are_augmented(pets):
    def augment(images, draws):
        return crop_and_flip(images, draws, padding=2)

    with pytest.raises(ValueError, match="`augment` must keep shape and dtype"):
        data.image_folder(pets, (4, 6), augment=lambda images, draws: images[:, 1:])
    with pytest.raises(ValueError, match="`augment` fails: ZeroDivisionError"):
        data.image_folder(pets, (4, 6), augment=lambda images, draws: 1 / 0)

    plain, cropped = (
        data.image_folder(pets, (4, 6)),
        data.image_folder(pets, (4, 6), augment=augment),
    )
    assert (plain.repeats, cropped.repeats) == (True, False)
    images = [
        next(source.load(batch_size=16).train().as_numpy_iterator())[0]
        for source in (plain, cropped)
    ]
    assert images[0].shape == images[1].shape and not np.array_equal(*images)


@pytest.mark.slow
def test_tensorflow_datasets():
    directory = pathlib.Path(os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")).expanduser()
    if not (directory / "mnist").is_dir():
        pytest.skip(f"mnist is not in {directory}; set TFDS_DATA_DIR")
    source = data.tfds("mnist", train="train[:1%]", test="test[:1%]", size=(14, 14))
    (images, labels), (_, test_labels) = source.read()
    assert (source.outputs, tuple(source.inputs.shape), source.examples) == (10, (14, 14, 1), 600)
    assert images.shape == (600, 14, 14, 1) and images.dtype == np.uint8
    assert test_labels[:10].tolist() == [2, 0, 4, 8, 7, 6, 0, 6, 3, 1]
    with pytest.raises(ValueError, match="`targets` must be a feature of .*: image, label"):
        data.tfds("mnist", targets="price")
    with pytest.raises(ValueError, match="no split 'validation'; its splits are train, test"):
        data.tfds("mnist", test="validation")


class Counting:
    """Batches that say which they are."""

    name, outputs, examples = "counting", 1, 12
    inputs = tf.TensorSpec((2,), tf.float32)
    targets = tf.TensorSpec((), tf.float32)

    def train_batch(self, seed, epoch, index, size):
        return np.full((size, 2), index), np.full(size, 100 * seed + epoch)

    def test_batches(self, size):
        yield np.zeros((size, 2)), np.zeros(size)
        yield np.zeros((1, 2)), np.zeros(1)


def test_own_batches_are_functions_of_seed_epoch_and_index():
    batches = as_source(Counting()).load(batch_size=4, seed=3)
    assert batches.steps_per_epoch == 3
    found = itertools.islice(batches.train(start_epoch=5).as_numpy_iterator(), 4)
    assert [(x[0, 0], y[0]) for x, y in found] == [(0, 305), (1, 305), (2, 305), (0, 306)]
    x, _ = all_of(batches.test())
    assert len(x) == 5 and int(batches.test().cardinality()) == 2
    assert batches.train().element_spec[0] == tf.TensorSpec((4, 2), tf.float32)


def test_a_stream_is_a_function_of_seed_and_epoch():
    def numbers(seed, epoch):
        data = tf.data.Dataset.range(10).shuffle(
            10, seed=100 * seed + epoch + 1, reshuffle_each_iteration=False
        )
        return data.map(lambda i: (tf.cast(i, tf.float32), i))

    source = data.stream(numbers, lambda: numbers(0, 0), outputs=10, examples=10)
    batches = source.load(batch_size=5, seed=2)
    whole = [y.tolist() for _, y in itertools.islice(batches.train().as_numpy_iterator(), 6)]
    resumed = [y.tolist() for _, y in itertools.islice(batches.train(2).as_numpy_iterator(), 2)]
    assert resumed == whole[4:] and sorted(sum(resumed, [])) == list(range(10))
    assert whole[:2] != whole[2:4]
    with pytest.raises(ValueError, match="ended at batch 2 of epoch 0"):
        list(
            data.stream(numbers, lambda: numbers(0, 0), outputs=10)
            .load(batch_size=5, steps_per_epoch=3)
            .epoch(0)
        )

    with pytest.raises(TypeError, match="`test` must return examples like those of `train`"):
        data.stream(numbers, lambda: tf.data.Dataset.range(3), outputs=10)

    def other(seed, epoch):
        return tf.data.Dataset.range(1000).shuffle(1000).map(lambda i: (i, i % 2))

    with pytest.warns(UserWarning, match="A resumed run goes on with the right epoch, in another"):
        data.stream(other, lambda: other(0, 0), outputs=2, examples=10).load(batch_size=5)


class Wrong(Counting):
    def __init__(self, **changes):
        vars(self).update(changes)


def load(**changes):
    return as_source(Wrong(**changes)).load(batch_size=4)


def write(name, content):
    pathlib.Path(name).parent.mkdir(parents=True, exist_ok=True)
    pathlib.Path(name).write_bytes(content)
    return name


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: table(np.arange(19)), "as many targets as inputs"),
        (lambda: table(np.full(20, np.nan)), "`train` must be finite. Received: targets with NaN"),
        (lambda: table(np.full(20, "a")), "`train` must be of numbers. Received: targets of dtype"),
        (lambda: table(np.arange(20) - 1), "targets that are classes must be 0 or more"),
        (lambda: table(np.arange(20) % 4, outputs=3), "`outputs` must be an integer of at least 4"),
        (lambda: table(np.ones(20), outputs=3), "`outputs` is for targets that are integers"),
        (lambda: data.Arrays("t", np.ones(3), np.ones(3)), "`train` must be [(]inputs, targets[)]"),
        (lambda: data.npz("no.npz"), "'no.npz' does not exist"),
        (lambda: data.npz(write("cut.npz", b"PK\x03\x04")), "'cut.npz' must be an .npz file"),
        (lambda: data.text_file("no.txt"), "'no.txt' does not exist"),
        (lambda: data.text_file(write("a.txt", b"\xff\xfe")), "'a.txt' must be in UTF-8"),
        (lambda: data.text_file(write("b.txt", b"short")), "more than 100 characters"),
        (lambda: data.image_folder("nowhere", (4, 4)), "'nowhere' does not exist"),
        (lambda: data.image_folder(".", (4, 4)), "a folder of images for each class"),
        (lambda: data.image_folder(".", 4), "`size` must be"),
        (lambda: load(name=5), "`Wrong.name` must be a string"),
        (lambda: load(inputs=(2,)), "`Wrong.inputs` must be a tf.TensorSpec"),
        (lambda: load(examples=None), "`Wrong.examples` must be a positive integer"),
        (lambda: load(test_batches=lambda: []), "`Wrong.test_batches` must be a method that takes"),
        (
            lambda: load(test_batches=lambda size: [None]),
            "must be .inputs, targets.. Received: NoneT",
        ),
        (lambda: load(test_batches=lambda size: [(1, 2, 3)]), "targets.. Received: tuple of 3"),
        (lambda: load(test_batches=lambda size: [([[1.0], [2.0, 3]], [0])]), "ValueError: setting"),
        (lambda: load(test_batches=lambda size: []), "has no test examples, in 0 batches"),
        (lambda: load(train_batch=lambda **k: 5), "a batch must be [(]inputs, targets[)]"),
        (
            lambda: load(train_batch=lambda size, **k: (np.ones((size, 3)), np.ones(size))),
            r"inputs must be float32 of shape \(4, 2\). Received: float64 of shape \(4, 3\)",
        ),
        (
            lambda: load(targets=tf.TensorSpec((), tf.int32), outputs=3),
            "targets must be int32 of shape",
        ),
        (
            lambda: load(
                targets=tf.TensorSpec((), tf.int32),
                train_batch=lambda size, **k: (np.ones((size, 2)), np.full(size, 7)),
                test_batches=lambda size: [(np.ones((size, 2)), np.full(size, 7))],
            ),
            "targets must be from 0 to 1. Received: 7 to 7",
        ),
        (lambda: data.stream(5, 5), "`train` must be a function"),
        (lambda: data.stream(lambda **k: 5, lambda: 5), "`train` must return a tf.data.Dataset"),
    ],
)
def test_bad_data(call, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ValueError, TypeError), match=words):
        call()


def test_a_folder_of_a_class_that_is_empty_or_damaged(pets):
    (pets / "mice").mkdir()
    with pytest.raises(ValueError, match="/mice' has no images: .bmp, .gif"):
        data.image_folder(pets, (4, 4))
    write(pets / "mice" / "1.png", b"not a picture")
    with pytest.raises(ValueError, match="/1.png' cannot be read"):
        data.image_folder(pets, (4, 4)).read()
