"""A data set of JPEG files read from disk, batch by batch."""

import numpy as np
import tensorflow as tf

from keras_tickets._checks import check_integer
from keras_tickets.data import imagenet
from keras_tickets.data.dataset import LAST_EPOCH, shard_batches


class StreamedDataset:
    """Images that do not fit in memory, in an order that is a function of (seed, epoch) only.

    Each epoch reads the files in a random order, several at a time, and shuffles the examples
    within a buffer. Both are drawn from the seed and the epoch, so that training can start again at
    any epoch with the batches that the uninterrupted run would have seen. No global random state is
    read or changed. What happens to an image is a function of the seed, the epoch and the name of
    its file, whatever the order, the batch size and the number of files.

    Training images are cropped at random and mirrored (`imagenet.crop_at_random`), those of the
    test are central crops; both are standardised with ImageNet's mean and standard deviation.

    Args:
        name: Name for messages and summaries.
        builder: A prepared builder of tensorflow-datasets, whose examples have a JPEG "image", a
            "label" and a "file_name".
        input_shape: (height, width, 3) of the images that training sees.
        batch_size: Examples per training step, over all replicas; what is left over of an epoch is
            dropped, so that shapes are static.
        seed: Non-negative seed of order and augmentation.
        test_batch_size: Examples per step of the test set; the last batch may be smaller. None:
            `batch_size`.
        steps_per_epoch: Training batches per epoch, at most those that there are. None: all.
        augment: Whether training images are cropped at random and mirrored.
        shuffle_buffer: Examples among which the next one is drawn; some 100 kB each.
        test_split: Name of the split for the test.

    Attributes:
        classes: Number of classes.
        input_shape: Shape of one image.
        steps_per_epoch: Training batches per epoch.

    Raises:
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
        builder,
        input_shape: tuple[int, int, int] = (224, 224, 3),
        *,
        batch_size: int = 256,
        seed: int = 0,
        test_batch_size: int | None = None,
        steps_per_epoch: int | None = None,
        augment: bool = True,
        shuffle_buffer: int = 10_000,
        test_split: str = "validation",
    ):
        size = builder.info.splits["train"].num_examples
        test_batch_size = batch_size if test_batch_size is None else test_batch_size
        check_integer("batch_size", batch_size, 1, size)
        check_integer("test_batch_size", test_batch_size, 1, None)
        check_integer("seed", seed, 0, 2**31 - 1)
        check_integer("shuffle_buffer", shuffle_buffer, 1, None)
        self.name = name
        self.batch_size = batch_size
        self.seed = seed
        self.test_batch_size = test_batch_size
        self.input_shape = tuple(input_shape)
        self.classes = builder.info.features["label"].num_classes
        self.steps_per_epoch = size // batch_size
        if steps_per_epoch is not None:
            check_integer("steps_per_epoch", steps_per_epoch, 1, self.steps_per_epoch)
            self.steps_per_epoch = steps_per_epoch
        self.augment = augment
        self.shuffle_buffer = shuffle_buffer
        self.test_split = test_split
        self._builder = builder

    def train(self, start_epoch: int = 0) -> tf.data.Dataset:
        """Training batches of all epochs from `start_epoch` on, without end.

        Args:
            start_epoch: First epoch; epoch k holds the same batches wherever the data set starts.

        Returns:
            `tf.data.Dataset` of (images, labels): float32 of shape (batch_size, *input_shape) and
            int32 of shape (batch_size,). Pass `steps_per_epoch` to `fit` with it.
        """
        check_integer("start_epoch", start_epoch, 0, LAST_EPOCH)

        def examples(epoch):
            # Of this function's graph alone: shuffling mixes it with the seeds that it is given.
            tf.random.set_seed(1)
            epoch_seed = tf.stack([self.seed, tf.cast(epoch, tf.int32)])
            seeds = tf.random.stateless_uniform([2], epoch_seed, None, None, tf.int64)
            data = self._read("train", shuffle_seed=seeds[0])
            data = data.shuffle(self.shuffle_buffer, seeds[1], reshuffle_each_iteration=False)
            data = data.take(self.steps_per_epoch * self.batch_size)
            return data.map(lambda example: (example, epoch_seed))

        def prepare(example, epoch_seed):
            if not self.augment:
                return self._prepare_for_test(example)
            index = tf.strings.to_hash_bucket_fast(example["file_name"], 2**31 - 1)
            seed = tf.random.fold_in(epoch_seed, tf.cast(index, tf.int32))
            image = imagenet.crop_at_random(example["image"], self.input_shape, seed)
            return _standardise(image), tf.cast(example["label"], tf.int32)

        data = tf.data.Dataset.range(start_epoch, LAST_EPOCH).flat_map(examples)
        data = data.map(prepare, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        return shard_batches(data.batch(self.batch_size, drop_remainder=True))

    def test(self) -> tf.data.Dataset:
        """The test set once, in its own order.

        Returns:
            `tf.data.Dataset` of (images, labels) batches: float32 and int32.
        """
        data = self._read(self.test_split).map(
            self._prepare_for_test, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
        )
        return shard_batches(data.batch(self.test_batch_size))

    def _read(self, split, shuffle_seed=None):
        import tensorflow_datasets as tfds

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
        image = imagenet.crop_centre(example["image"], self.input_shape)
        return _standardise(image), tf.cast(example["label"], tf.int32)


def _standardise(image):
    return (image - np.float32(imagenet.MEAN)) / np.float32(imagenet.DEVIATION)
