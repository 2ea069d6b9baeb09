"""A data set in memory, batched by index."""

import copy
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from keras_tickets._checks import check_integer
from keras_tickets._epoch_order import all_epochs, epoch_seed, prefetched, shuffled_batches
from keras_tickets.data.hold_out import count_held_out, held_out_at_random, nothing_held_out


class Dataset:
    """Inputs and targets in memory, in an order that depends only on (seed, epoch).

    Each epoch is a permutation of the training examples drawn by a stateless generator, and each
    batch is gathered from the arrays by index. So a step costs little, and training can resume at
    any epoch with the batches that the uninterrupted run would have seen. No global random state is
    read or changed.

    Args:
        name: Name for messages and summaries.
        train: (images, labels): array of shape (n, *input_shape), any real dtype, and integer array
            of shape (n,) with values from 0; or other inputs and targets of n examples.
        test: (images, labels) likewise.
        batch_size: Examples per training step, over all replicas; an incomplete batch at the end of
            an epoch is dropped, so that shapes are static.
        seed: Non-negative seed of hold-out, order and augmentation.
        test_batch_size: Examples per step of the test set and of validation; the last batch may be
            smaller.
        steps_per_epoch: Training batches per epoch, at most as many as there are. None: all.
        augment: None, or `augment(images, draws)` with the images of a batch in their own dtype and
            an int32 tensor of shape (batch, 3): three uniform values from 0 for each image, a
            function of the seed, the epoch and the image's position among the training images. It
            must use no other randomness.
        validation: Share of the training examples, in [0, 1), that is held out: drawn from `seed`,
            never trained on, and read by the method `validation`.
        standardize: Whether inputs become float32 with mean 0 and deviation 1 over the training
            set, per channel (the last axis). If not, they are as they are.

    Attributes:
        classes: Number of classes: the largest label of either split, plus one; `None` where labels
            are not integers.
        input_shape: Shape of one image.
        steps_per_epoch: Training batches per epoch.
        held_out: Number of training examples that are held out.

    Raises:
        TypeError: `validation` is not a number.
        ValueError: An argument is not an integer, or out of range.

    Example:

    ```python
    import numpy as np
    from keras_tickets.data import Dataset

    images, labels = np.arange(40).reshape(10, 2, 2, 1), np.arange(10) % 2
    dataset = Dataset("toy", (images, labels), (images, labels), batch_size=4, validation=0.2)
    assert (dataset.steps_per_epoch, dataset.classes, dataset.held_out) == (2, 2, 2)
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
        augment: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None = None,
        validation: float = 0.0,
        standardize: bool = True,
    ):
        self.name = name
        self.seed = check_integer("seed", seed, 0, 2**31 - 1)
        self.test_batch_size = check_integer("test_batch_size", test_batch_size, 1)
        self.input_shape = tuple(train[0].shape[1:])
        self.classes = None
        if train[1].dtype.kind in "iu":
            self.classes = int(max(train[1].max(), test[1].max())) + 1
        self.held_out = count_held_out(len(train[1]), validation)
        self._train, self._validation, self._test, self._augment = train, None, test, augment
        if self.held_out:
            held_out = held_out_at_random(len(train[1]), self.held_out, seed)
            self._train, self._validation = (
                tuple(array[chosen] for array in train) for chosen in (~held_out, held_out)
            )
        self._size = len(self._train[1])
        self.batch_size = check_integer("batch_size", batch_size, 1, self._size)
        available = self._size // batch_size
        self.steps_per_epoch = available
        if steps_per_epoch is not None:
            self.steps_per_epoch = check_integer("steps_per_epoch", steps_per_epoch, 1, available)
        self._scale = self._shift = None
        if standardize:
            images = self._train[0]
            axes = tuple(range(images.ndim - 1)) or (0,)
            mean, deviation = images.mean(axes, "float64"), images.std(axes, dtype="float64")
            self._scale = np.asarray(1 / np.maximum(deviation, 1e-8), "float32")
            self._shift = np.asarray(-mean / np.maximum(deviation, 1e-8), "float32")

    def train(
        self, start_epoch: int = 0, targets: Mapping[str, np.ndarray] | None = None
    ) -> tf.data.Dataset:
        """Returns the training batches of all epochs from `start_epoch` on, without end.

        Args:
            start_epoch: First epoch; epoch k holds the same batches wherever the data set starts.
            targets: More targets by name, such as a teacher's logits: arrays with one row for each
                training example, in the order of `train_once`.

        Returns:
            `tf.data.Dataset` of (images, labels): float32 of shape (batch_size, *input_shape) and
            int32 of shape (batch_size,). With `targets`, of (images, {"labels": labels, …}). Pass
            `steps_per_epoch` to `fit` with it.

        Raises:
            ValueError: `start_epoch` is not a non-negative integer, or the number of rows of a
                target differs from the number of training examples.
        """
        for name, array in (targets or {}).items():
            if len(array) != self._size:
                raise ValueError(
                    f"`targets` must have a row for each of the {self._size} training examples. "
                    f"Received: {len(array)} rows of {name!r}"
                )
        more = {name: tf.constant(array) for name, array in (targets or {}).items()}
        images, labels = (tf.constant(array) for array in self._train)

        def gather(indices, draws=None):
            batch = tf.gather(images, indices)
            if draws is not None and self._augment is not None:
                batch = self._augment(batch, draws)
            found = tf.gather(labels, indices)
            if more:
                rows = {name: tf.gather(array, indices) for name, array in more.items()}
                found = {"labels": found, **rows}
            return self._standardize(batch), found

        data = all_epochs(start_epoch, self._epoch)
        data = data.map(gather, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        return prefetched(data)

    def train_once(self) -> tf.data.Dataset:
        """Returns the training examples once, in their own order and without augmentation.

        Returns:
            `tf.data.Dataset` of (images, labels) batches: float32 and int32.
        """
        return self._in_order(self._train, self.batch_size)

    def validation(self) -> tf.data.Dataset:
        """Returns the held-out examples once, in their own order and without augmentation.

        Returns:
            `tf.data.Dataset` of (images, labels) batches: float32 and int32.

        Raises:
            ValueError: No examples are held out.
        """
        if self._validation is None:
            raise nothing_held_out(self.name)
        return self._in_order(self._validation, self.test_batch_size)

    def test(self) -> tf.data.Dataset:
        """Returns the test set once, in its own order.

        Returns:
            `tf.data.Dataset` of (images, labels) batches: float32 and int32.
        """
        return self._in_order(self._test, self.test_batch_size)

    def split(self, examples: int) -> tuple["Dataset", "Dataset"]:
        """Splits the training examples into two data sets that have none in common.

        Both are like this one in all else: the standardization by all training examples, the
        augmentation, the held-out examples and the test set.

        Args:
            examples: Number of training examples of the first, drawn from the seed. The second has
                the others. Each must have at least a batch.

        Returns:
            The two, with all batches that they have in an epoch.

        Raises:
            ValueError: `examples` is not an integer, or leaves one of them without a batch.

        Example:

        ```python
        import keras_tickets as kt

        few, others = kt.data.load("digits", batch_size=32).split(200)
        assert (few.steps_per_epoch, others.steps_per_epoch) == (6, 38)
        ```
        """
        most = self._size - self.batch_size
        if most < self.batch_size:
            raise ValueError(
                f"Data set {self.name!r} cannot be split: it has {self._size} training examples, "
                f"and each part needs a batch of {self.batch_size}."
            )
        check_integer("examples", examples, self.batch_size, most)
        chosen = held_out_at_random(self._size, examples, self.seed)
        return self._part(chosen), self._part(~chosen)

    def _part(self, chosen):
        part = copy.copy(self)
        part._train = tuple(array[chosen] for array in self._train)
        part._size = int(chosen.sum())
        part.steps_per_epoch = part._size // self.batch_size
        return part

    def arrays(self) -> list[np.ndarray]:
        """The examples in memory: inputs and targets of training, of validation, of the test."""
        splits = (self._train, self._validation, self._test)
        return [array for split in splits if split is not None for array in split]

    def _epoch(self, epoch):
        """The indices of each batch of an epoch, and the draws for augmenting each example."""
        batches = shuffled_batches(
            self._size, self.batch_size, self.steps_per_epoch, self.seed, epoch
        )
        if self._augment is None:
            return tf.data.Dataset.from_tensor_slices((batches,))
        seed = tf.random.fold_in(epoch_seed(self.seed, epoch), 1)
        draws = tf.random.stateless_uniform([self._size, 3], seed, 0, tf.int32.max, tf.int32)
        return tf.data.Dataset.from_tensor_slices((batches, tf.gather(draws, batches)))

    def _in_order(self, examples, batch_size):
        data = tf.data.Dataset.from_tensor_slices(examples).batch(batch_size)
        return prefetched(data.map(lambda x, y: (self._standardize(x), y)))

    def _standardize(self, images):
        if self._scale is None:
            return images
        return tf.cast(images, tf.float32) * self._scale + self._shift
