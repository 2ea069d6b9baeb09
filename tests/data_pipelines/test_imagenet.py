import itertools
import os

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
import tiny_imagenet

from keras_tickets import data
from keras_tickets.data import imagenet

SHAPE = (16, 16, 3)
COLOR_ERROR = 0.02  # of JPEG, as a share of the full range: 5 of 255


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("tfds"))
    tiny_imagenet.prepare(path, shards=4)
    return path


@pytest.fixture
def build(directory):
    def build(batch_size=4, seed=0, data_dir=directory, **kwargs):
        builder = imagenet.builder(data_dir)
        return data.StreamedDataset(
            "imagenet2012", builder, SHAPE, batch_size=batch_size, seed=seed, **kwargs
        )

    return build


def epochs(dataset, start, count):
    size = dataset.steps_per_epoch
    batches = list(itertools.islice(dataset.train(start).as_numpy_iterator(), count * size))
    return [
        [np.concatenate(parts) for parts in zip(*batches[i : i + size], strict=True)]
        for i in range(0, len(batches), size)
    ]


def as_set(images):
    return {image.tobytes() for image in images}


def test_an_epoch_is_a_function_of_seed_and_number(build):
    tf.random.set_seed(1)
    whole = epochs(build(), 0, 3)
    for global_seed in (2, 0):
        tf.random.set_seed(global_seed)
        resumed = epochs(build(), 1, 2)
        for (images, labels), (again, labels_again) in zip(whole[1:], resumed, strict=True):
            np.testing.assert_array_equal(images, again)
            np.testing.assert_array_equal(labels, labels_again)
    assert all(len(as_set(images)) == tiny_imagenet.TRAIN for images, _ in whole)
    assert all(np.bincount(labels).tolist() == [12, 12] for _, labels in whole)
    assert len({labels.tobytes() for _, labels in whole}) == 3
    ((_, other_labels),) = epochs(build(seed=1), 0, 1)
    assert not np.array_equal(other_labels, whole[0][1])


def test_the_global_generator_is_left_alone(build):
    tf.random.set_seed(7)
    before = [tf.random.uniform([]).numpy() for _ in range(2)]
    tf.random.set_seed(7)
    first = tf.random.uniform([]).numpy()
    epochs(build(), 0, 1)
    assert [first, tf.random.uniform([]).numpy()] == before


def test_files_and_examples_are_both_shuffled(build):
    ((_, in_order),) = epochs(build(augment=False, shuffle_buffer=1), 0, 1)
    ((_, shuffled),) = epochs(build(augment=False), 0, 1)
    orders = {
        labels.tobytes() for _, labels in epochs(build(augment=False, shuffle_buffer=1), 0, 4)
    }
    assert not np.array_equal(in_order, shuffled)
    assert len(orders) > 1


def test_augmentation_depends_on_seed_epoch_and_image_only(build, tmp_path):
    tiny_imagenet.prepare(str(tmp_path), shards=1)
    ((images, _), (later, _)) = epochs(build(), 0, 2)
    ((rebatched, _),) = epochs(build(6, shuffle_buffer=3), 0, 1)
    ((other_files, _),) = epochs(build(data_dir=str(tmp_path)), 0, 1)
    ((other_seed, _),) = epochs(build(seed=1), 0, 1)
    assert as_set(images) == as_set(rebatched) == as_set(other_files)
    assert not as_set(images) & (as_set(later) | as_set(other_seed))


def test_without_augmentation_training_images_are_central_crops(build, directory):
    ((images, _),) = epochs(build(augment=False), 0, 1)
    files = imagenet.builder(directory).as_dataset(
        "train", decoders={"image": tfds.decode.SkipDecoding()}
    )
    crops = np.stack([imagenet.crop_center(example["image"], SHAPE) for example in files])
    restored = images * np.float32(imagenet.DEVIATION) + np.float32(imagenet.MEAN)
    distances = np.abs(restored[:, None] - crops[None]).max((2, 3, 4))
    assert (distances.min(1) < 1e-3).all() and (distances.min(0) < 1e-3).all()


def test_test_set(build):
    batches = list(build(test_batch_size=4).test().as_numpy_iterator())
    assert [images.shape for images, _ in batches] == [(4, *SHAPE), (2, *SHAPE)]
    builder_labels = np.concatenate([labels for _, labels in batches])
    assert builder_labels.dtype == np.int32 and len(set(builder_labels)) > 1
    again = list(build(test_batch_size=6).test().as_numpy_iterator())
    np.testing.assert_array_equal(np.concatenate([x for x, _ in batches]), again[0][0])


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_training_and_validation_share_the_training_set(build, seed):
    dataset = build(3, seed=seed, validation=0.25, augment=False)
    assert (dataset.held_out, dataset.steps_per_epoch) == (6, 6)
    validated = as_set(np.concatenate([images for images, _ in dataset.validation()]))
    trained = [as_set(images) for images, _ in epochs(dataset, 0, 2)]
    everything = as_set(epochs(build(augment=False), 0, 1)[0][0])
    assert trained[0] == trained[1] == everything - validated
    assert len(validated) == 6 and validated < everything


def test_what_is_held_out_is_a_function_of_the_seed_alone(build):
    def held_out(**kwargs):
        return as_set(np.concatenate([x for x, _ in build(**kwargs, validation=0.2).validation()]))

    first = held_out(seed=3)
    assert first == held_out(seed=3, batch_size=2, steps_per_epoch=1, test_batch_size=2)
    assert len({frozenset(held_out(seed=seed)) for seed in range(6)}) > 2
    with pytest.raises(ValueError, match="holds out no training examples"):
        build().validation()


def test_shapes_sizes_and_fewer_steps(build):
    dataset = build(5)
    assert (dataset.classes, dataset.input_shape, dataset.steps_per_epoch) == (1000, SHAPE, 4)
    images, labels = dataset.train().element_spec
    assert images == tf.TensorSpec((5, *SHAPE), tf.float32)
    assert labels == tf.TensorSpec((5,), tf.int32)
    whole, part = epochs(build(), 0, 2), epochs(build(steps_per_epoch=3), 0, 2)
    for (images, _), (first, _) in zip(whole, part, strict=True):
        np.testing.assert_array_equal(images[:12], first)


def gradient(height, width):
    """A JPEG whose red is the row and whose green is the column, in units of the last one."""
    image = np.full((height, width, 3), 128.0)
    image[..., 0] = 255 * np.arange(height)[:, None] / (height - 1)
    image[..., 1] = 255 * np.arange(width) / (width - 1)
    return tf.io.encode_jpeg(tf.cast(np.round(image), tf.uint8), quality=100)


def rectangle(image, height, width):
    """Center (y, x) and size (h, w) of the part of `gradient` that is shown; whether mirrored."""
    rows = image[..., 0].mean(1) * (height - 1) / 255
    columns = image[..., 1].mean(0) * (width - 1) / 255
    mirrored = columns[0] > columns[-1]
    inner = slice(4, -4)  # Resizing blurs what lies outside.
    steps = [np.abs(np.diff(values[inner])).mean() for values in (rows, columns)]
    size = [step * len(values) for step, values in zip(steps, (rows, columns), strict=True)]
    return (rows[inner].mean(), columns[inner].mean()), size, mirrored


@pytest.mark.parametrize("height, width", [(300, 300), (240, 400)])
def test_random_crops_cover_the_area_and_shape_they_should(height, width):
    encoded, areas, ratios, centers, mirrors = gradient(height, width), [], [], [], []
    crop = tf.function(lambda seed: imagenet.crop_at_random(encoded, (64, 64, 3), seed))
    for index in range(200):
        image = crop(tf.constant([3, index])).numpy()
        center, (h, w), mirrored = rectangle(image, height, width)
        assert h / 2 - COLOR_ERROR * height < center[0] < height - h / 2 + COLOR_ERROR * height
        assert w / 2 - COLOR_ERROR * width < center[1] < width - w / 2 + COLOR_ERROR * width
        areas.append(h * w / (height * width))
        ratios.append(w / h)
        centers.append(center)
        mirrors.append(mirrored)
    assert 0.09 < min(areas) < 0.2 and 0.6 < max(areas) < 1.02
    assert 0.78 < min(ratios) < 0.85 and 1.17 < max(ratios) < 1.28
    assert 70 < sum(mirrors) < 130
    assert np.std(centers, axis=0).min() > 20


@pytest.mark.parametrize("height, width", [(256, 256), (256, 512), (320, 200), (33, 47)])
def test_central_crop(height, width):
    image = imagenet.crop_center(gradient(height, width), (64, 64, 3)).numpy()
    (y, x), (h, w), mirrored = rectangle(image, height, width)
    side = round(min(height, width) * 224 / 256)
    assert not mirrored
    np.testing.assert_allclose(y, (height - 1) / 2, atol=COLOR_ERROR * height)
    np.testing.assert_allclose(x, (width - 1) / 2, atol=COLOR_ERROR * width)
    np.testing.assert_allclose([h, w], [side, side], rtol=0.03)


def test_mock_data(directory):
    with tfds.testing.mock_data(num_examples=20, data_dir=directory):
        dataset = data.load("imagenet2012", batch_size=4, steps_per_epoch=2, data_dir=directory)
        first, again = (next(dataset.train(1).as_numpy_iterator()) for _ in range(2))
        (images, labels) = next(dataset.test().as_numpy_iterator())
    assert first[0].shape == (4, 224, 224, 3) and np.isfinite(first[0]).all()
    np.testing.assert_array_equal(first[0], again[0])
    assert images.shape == (4, 224, 224, 3) and 0 <= labels.min() and labels.max() < 1000


def test_archives_are_prepared_where_they_should_lie(tmp_path, monkeypatch):
    tiny_imagenet.write_archives(str(tmp_path))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    dataset = data.load("imagenet2012", batch_size=3)
    assert (dataset.steps_per_epoch, dataset.test_batch_size) == (8, 3)
    assert data.describe("imagenet2012").input_shape == dataset.input_shape
    assert data.describe("imagenet2012").classes == dataset.classes


def test_missing_archives_are_named_and_nothing_is_written(tmp_path):
    with pytest.raises(ValueError, match="img_train.tar and ILSVRC2012_img_val.tar must be in"):
        data.load("imagenet2012", data_dir=str(tmp_path))
    assert list(tmp_path.iterdir()) == []
    tiny_imagenet.write_archives(str(tmp_path))
    os.remove(tmp_path / "downloads" / "manual" / "ILSVRC2012_img_val.tar")
    with pytest.raises(
        ValueError, match="to prepare it ILSVRC2012_img_val.tar must be in"
    ) as error:
        data.load("imagenet2012", data_dir=str(tmp_path))
    assert "\n" not in str(error.value) and not (tmp_path / "imagenet2012").exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"batch_size": 0}, r"`batch_size` must be an integer in \[1, 24\]"),
        ({"batch_size": 25}, r"in \[1, 24\]. Received: batch_size=25"),
        ({"seed": -1}, "`seed` must be"),
        ({"test_batch_size": 0}, "`test_batch_size` must be"),
        ({"shuffle_buffer": 0}, "`shuffle_buffer` must be"),
        ({"steps_per_epoch": 7}, r"in \[1, 6\]. Received: steps_per_epoch=7"),
    ],
)
def test_bad_arguments(build, arguments, message):
    with pytest.raises(ValueError, match=message):
        build(**arguments)
    with pytest.raises(ValueError, match="`start_epoch` must be"):
        build().train(-1)
