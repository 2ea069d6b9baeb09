"""A data set in memory, batched by index."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from keras_tickets._checks import check_integer

LAST_EPOCH = 2**31 - 1


class Dataset:
    """Images and labels in memory, in an order that is a function of (seed, epoch) only.

    Each epoch is a permutation of the training examples drawn by a stateless generator, and each
    batch is gathered from the arrays by index, so that a step costs little and training can start
    again at any epoch with the batches that the uninterrupted run would have seen. No global random
    state is read or changed.

    Args:
        name: Name for messages and summaries.
        train: (images, labels): array of shape (n, *input_shape), any real dtype, and integer array
            of shape (n,) with values from 0.
        test: (images, labels) likewise.
        batch_size: Examples per training step, over all replicas; what is left over of an epoch is
            dropped, so that shapes are static.
        seed: Non-negative seed of order and augmentation.
        test_batch_size: Examples per step of the test set; the last batch may be smaller.
        steps_per_epoch: Training batches per epoch, at most those that there are. None: all.
        augment: None, or `augment(images, draws)` with the images of a batch in their own dtype and
            an int32 tensor of shape (batch, 3): three uniform values from 0 for each image, a
            function of the seed, the epoch and the image's position in `train`. It must use no
            other randomness.

    Attributes:
        classes: Number of classes: the largest label of either split, plus one.
        input_shape: Shape of one image.
        steps_per_epoch: Training batches per epoch.

    Raises:
        ValueError: An argument is not an integer, or out of range.

    Example:

    ```python
    import numpy as np
    from keras_tickets.data import Dataset

    images, labels = np.arange(40).reshape(10, 2, 2, 1), np.arange(10) % 2
    dataset = Dataset("toy", (images, labels), (images, labels), batch_size=4)
    assert (dataset.steps_per_epoch, dataset.classes) == (2, 2)
    ```

    To resume at epoch k: `model.fit(dataset.train(start_epoch=k), initial_epoch=k, epochs=n,
    steps_per_epoch=dataset.steps_per_epoch)`.
    """

    def __init__(
        self,
        name: str,
        train: tuple[np.ndarray, np.ndarray],
        test: tuple[np.ndarray, np.ndarray],
        *,
        batch_size: int = 128,
        seed: int = 0,
        test_batch_size: int = 1000,
        steps_per_epoch: int | None = None,
        augment: Callable | None = None,
    ):
        size = len(train[1])
        check_integer("batch_size", batch_size, 1, size)
        check_integer("test_batch_size", test_batch_size, 1, None)
        check_integer("seed", seed, 0, 2**31 - 1)
        self.name = name
        self.batch_size = batch_size
        self.seed = seed
        self.test_batch_size = test_batch_size
        self.input_shape = tuple(train[0].shape[1:])
        self.classes = int(max(train[1].max(), test[1].max())) + 1
        self.steps_per_epoch = size // batch_size
        if steps_per_epoch is not None:
            check_integer("steps_per_epoch", steps_per_epoch, 1, self.steps_per_epoch)
            self.steps_per_epoch = steps_per_epoch
        self._train, self._test, self._augment = train, test, augment
        axes = tuple(range(train[0].ndim - 1))
        mean, deviation = train[0].mean(axes, "float64"), train[0].std(axes, dtype="float64")
        self._scale = np.asarray(1 / np.maximum(deviation, 1e-8), "float32")
        self._shift = np.asarray(-mean / np.maximum(deviation, 1e-8), "float32")

    def train(
        self, start_epoch: int = 0, targets: dict[str, np.ndarray] | None = None
    ) -> tf.data.Dataset:
        """Training batches of all epochs from `start_epoch` on, without end.

        Args:
            start_epoch: First epoch; epoch k holds the same batches wherever the data set starts.
            targets: More targets by name, such as a teacher's logits: arrays with one row for each
                training example, in the order of `train_once`.

        Returns:
            `tf.data.Dataset` of (images, labels): float32 of shape (batch_size, *input_shape) and
            int32 of shape (batch_size,). With `targets`, of (images, {"labels": labels, …}). Pass
            `steps_per_epoch` to `fit` with it.

        Raises:
            ValueError: A target has another number of rows than there are training examples.
        """
        check_integer("start_epoch", start_epoch, 0, LAST_EPOCH)
        for name, array in (targets or {}).items():
            if len(array) != len(self._train[1]):
                raise ValueError(
                    f"`targets` must have a row for each of the {len(self._train[1])} training "
                    f"examples. Received: {len(array)} rows of {name!r}."
                )
        more = {name: tf.constant(array) for name, array in (targets or {}).items()}
        images, labels = (tf.constant(array) for array in self._train)

        def order(epoch):
            seed = tf.stack([self.seed, tf.cast(epoch, tf.int32)])
            size = len(self._train[1])
            indices = tf.random.experimental.stateless_shuffle(tf.range(size), seed)
            indices = indices[: self.steps_per_epoch * self.batch_size]
            batches = tf.reshape(indices, [self.steps_per_epoch, self.batch_size])
            if self._augment is None:
                return tf.data.Dataset.from_tensor_slices((batches,))
            draws = tf.random.stateless_uniform(
                [size, 3], tf.random.fold_in(seed, 1), 0, tf.int32.max, tf.int32
            )
            return tf.data.Dataset.from_tensor_slices((batches, tf.gather(draws, batches)))

        def gather(indices, draws=None):
            batch = tf.gather(images, indices)
            if self._augment is not None:
                batch = self._augment(batch, draws)
            found = tf.gather(labels, indices)
            if more:
                rows = {name: tf.gather(array, indices) for name, array in more.items()}
                found = {"labels": found, **rows}
            return self._standardise(batch), found

        data = tf.data.Dataset.range(start_epoch, LAST_EPOCH).flat_map(order)
        data = data.map(gather, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        return shard_batches(data)

    def train_once(self) -> tf.data.Dataset:
        """The training set once, whole, in its own order and without augmentation.

        Returns:
            `tf.data.Dataset` of (images, labels) batches: float32 and int32.
        """
        return self._in_order(self._train, self.batch_size)

    def test(self) -> tf.data.Dataset:
        """The test set once, in its own order.

        Returns:
            `tf.data.Dataset` of (images, labels) batches: float32 and int32.
        """
        return self._in_order(self._test, self.test_batch_size)

    def _in_order(self, examples, batch_size):
        data = tf.data.Dataset.from_tensor_slices(examples).batch(batch_size)
        return shard_batches(data.map(lambda x, y: (self._standardise(x), y)))

    def _standardise(self, images):
        return tf.cast(images, tf.float32) * self._scale + self._shift


def shard_batches(data: tf.data.Dataset) -> tf.data.Dataset:
    """Prefetches batches, which `tf.distribute` splits among workers by example, not by file."""
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return data.prefetch(tf.data.AUTOTUNE).with_options(options)
