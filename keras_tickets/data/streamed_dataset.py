"""A data set of JPEG files read from disk, batch by batch."""

from typing import Any

import numpy as np
import tensorflow as tf

from keras_tickets._checks import check_integer
from keras_tickets._epoch_order import all_epochs, epoch_seed, prefetched
from keras_tickets._optional import import_tfds
from keras_tickets.data import imagenet
from keras_tickets.data.hold_out import count_held_out, held_out_in_a_row, nothing_held_out


class StreamedDataset:
    """Images that do not fit in memory, in an order that depends only on (seed, epoch).

    Each epoch reads the files in a random order, several at a time, and shuffles the examples
    within a buffer. Both are drawn from the seed and the epoch, so training can resume at any epoch
    with the batches that the uninterrupted run would have seen. No global random state is read or
    changed. The augmentation of an image is a function of the seed, the epoch and its file name,
    whatever the order, the batch size and the number of files.

    Training images are cropped at random and mirrored (`imagenet.crop_at_random`); test images are
    central crops; both are standardized with ImageNet's mean and standard deviation.

    Args:
        name: Name for messages and summaries.
        builder: A prepared builder of tensorflow-datasets, whose examples have a JPEG "image", a
            "label" and a "file_name".
        input_shape: (height, width, 3) of the images that training sees.
        batch_size: Examples per training step, over all replicas; an incomplete batch at the end of
            an epoch is dropped, so that shapes are static.
        seed: Non-negative seed of hold-out, order and augmentation.
        test_batch_size: Examples per step of the test set and of validation; the last batch may be
            smaller. None: `batch_size`.
        steps_per_epoch: Training batches per epoch, at most as many as there are. None: all.
        augment: Whether training images are cropped at random and mirrored.
        shuffle_buffer: Number of examples in the shuffle buffer, about 100 kB each.
        test_split: Name of the test split.
        validation: Share of the training examples, in [0, 1), that is held out: a run of
            consecutive examples on disk, where the order is random; its position is drawn from
            `seed`.

    Attributes:
        classes: Number of classes.
        input_shape: Shape of one image.
        steps_per_epoch: Training batches per epoch.
        held_out: Number of training examples that are held out.

    Raises:
        TypeError: `validation` is not a number.
        ValueError: An argument is not an integer, or out of range.

    Example:

    ```python
    import keras_tickets as kt

    try:
        dataset = kt.data.load("imagenet2012", batch_size=1024)
        assert isinstance(dataset, kt.data.StreamedDataset) and dataset.classes == 1000
    except ValueError as error:
        print(error)
    ```
    """

    def __init__(
        self,
        name: str,
        builder: Any,
        input_shape: tuple[int, int, int] = (224, 224, 3),
        *,
        batch_size: int = 256,
        seed: int = 0,
        test_batch_size: int | None = None,
        steps_per_epoch: int | None = None,
        augment: bool = True,
        shuffle_buffer: int = 10_000,
        test_split: str = "validation",
        validation: float = 0.0,
    ):
        test_batch_size = batch_size if test_batch_size is None else test_batch_size
        self.name = name
        self.seed = check_integer("seed", seed, 0, 2**31 - 1)
        height, width, channels = input_shape
        self.input_shape = (height, width, channels)
        self.classes = builder.info.features["label"].num_classes
        self.augment = augment
        self.shuffle_buffer = check_integer("shuffle_buffer", shuffle_buffer, 1)
        self.test_split = test_split
        self._builder = builder
        size = builder.info.splits["train"].num_examples
        self.held_out = count_held_out(size, validation)
        self._train_split, self._validation_split = "train", None
        if self.held_out:
            begin, end = held_out_in_a_row(size, self.held_out, seed)
            self._train_split = f"train[:{begin}]+train[{end}:]"
            self._validation_split = f"train[{begin}:{end}]"
        self.batch_size = check_integer("batch_size", batch_size, 1, size - self.held_out)
        self.test_batch_size = check_integer("test_batch_size", test_batch_size, 1)
        available = (size - self.held_out) // batch_size
        self.steps_per_epoch = available
        if steps_per_epoch is not None:
            self.steps_per_epoch = check_integer("steps_per_epoch", steps_per_epoch, 1, available)

    def train(self, start_epoch: int = 0) -> tf.data.Dataset:
        """Returns the training batches of all epochs from `start_epoch` on, without end.

        Args:
            start_epoch: First epoch; epoch k holds the same batches wherever the data set starts.

        Returns:
            `tf.data.Dataset` of (images, labels): float32 of shape (batch_size, *input_shape) and
            int32 of shape (batch_size,). Pass `steps_per_epoch` to `fit` with it.
        """
        data = all_epochs(start_epoch, self._epoch)
        data = data.map(self._prepare, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        return prefetched(data.batch(self.batch_size, drop_remainder=True))

    def validation(self) -> tf.data.Dataset:
        """Returns the held-out examples once, in their own order, as central crops.

        Returns:
            `tf.data.Dataset` of (images, labels) batches: float32 and int32.

        Raises:
            ValueError: No examples are held out.
        """
        if self._validation_split is None:
            raise nothing_held_out(self.name)
        return self._in_order(self._validation_split)

    def test(self) -> tf.data.Dataset:
        """Returns the test set once, in its own order.

        Returns:
            `tf.data.Dataset` of (images, labels) batches: float32 and int32.
        """
        return self._in_order(self.test_split)

    def _epoch(self, epoch):
        """The examples of an epoch, each with the seed of the epoch."""
        # Of this function's graph alone: shuffling mixes it with the seeds that it is given.
        tf.random.set_seed(1)
        seed = epoch_seed(self.seed, epoch)
        seeds = tf.random.stateless_uniform([2], seed, None, None, tf.int64)
        data = self._read(self._train_split, shuffle_seed=seeds[0])
        data = data.shuffle(self.shuffle_buffer, seeds[1], reshuffle_each_iteration=False)
        data = data.take(self.steps_per_epoch * self.batch_size)
        return data.map(lambda example: (example, seed))

    def _prepare(self, example, seed):
        if not self.augment:
            return self._prepare_for_test(example)
        index = tf.strings.to_hash_bucket_fast(example["file_name"], 2**31 - 1)
        seed = tf.random.fold_in(seed, tf.cast(index, tf.int32))
        image = imagenet.crop_at_random(example["image"], self.input_shape, seed)
        return _standardize(image), tf.cast(example["label"], tf.int32)

    def _in_order(self, split):
        data = self._read(split).map(
            self._prepare_for_test, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
        )
        return prefetched(data.batch(self.test_batch_size))

    def _read(self, split, shuffle_seed=None):
        tfds = import_tfds()
        return self._builder.as_dataset(
            split=split,
            shuffle_files=shuffle_seed is not None,
            decoders={"image": tfds.decode.SkipDecoding()},
            read_config=tfds.ReadConfig(
                shuffle_seed=shuffle_seed,
                shuffle_reshuffle_each_iteration=False,
                try_autocache=False,
                skip_prefetch=True,
            ),
        )

    def _prepare_for_test(self, example):
        image = imagenet.crop_center(example["image"], self.input_shape)
        return _standardize(image), tf.cast(example["label"], tf.int32)


def _standardize(image):
    mean, deviation = np.array(imagenet.MEAN), np.array(imagenet.DEVIATION)
    return (image - mean.astype(np.float32)) / deviation.astype(np.float32)
