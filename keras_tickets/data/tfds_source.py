"""`tfds`: any data set of tensorflow-datasets that fits in memory."""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from keras_tickets._checks import check_integer, check_text
from keras_tickets._optional import import_tfds
from keras_tickets.data import published
from keras_tickets.data.arrays import Examples
from keras_tickets.data.augmentation import check_augment
from keras_tickets.data.read_later import ReadLater
from keras_tickets.data.source import Source

_BATCH = 1000


def tfds(
    name: str,
    *,
    train: str = "train",
    test: str = "test",
    inputs: str | None = None,
    targets: str | None = None,
    size: Sequence[int] | None = None,
    outputs: int | None = None,
    augment: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None = None,
    data_dir: str | None = None,
) -> Source:
    """A data set of tensorflow-datasets, read into memory.

    Args:
        name: Its name there, such as "svhn_cropped" or "iris:2.1.0". What is missing is downloaded.
        train: Split for training, such as "train" or "train[:80%]".
        test: Split for testing.
        inputs: Name of the feature that is the inputs. None: that of the pair that the data set
            declares as supervised.
        targets: Name of the feature that is the targets, likewise.
        size: (height, width) that images are resized to; needed where they are of many sizes.
        outputs: Number of classes, where the targets are integers without names.
        augment: As in `kt.data.Dataset`.
        data_dir: Directory of tensorflow-datasets. None: `$TFDS_DATA_DIR`, else
            `~/tensorflow_datasets`.

    Returns:
        A `kt.data.Source`.

    Raises:
        ValueError: The data is missing and cannot be downloaded, a split or feature is unknown, or
            a feature is not of numbers of one shape.

    Example:

    ```python
    import keras_tickets as kt

    try:
        source = kt.data.tfds("mnist", train="train[:50%]")
        assert (source.outputs, source.examples) == (10, 30_000)
    except ValueError as error:
        print(error)
    ```
    """
    return _Tfds(name, (train, test), (inputs, targets), size, outputs, augment, data_dir)


class _Tfds(ReadLater):
    def __init__(self, name, splits, features, size, outputs, augment, data_dir):
        self.name, self._splits = check_text("name", name), splits
        self._builder = published.prepared(name, data_dir)
        info = self._builder.info
        self._keys = self._features(info, features)
        self._size = None
        shape = info.features[self._keys[0]].shape
        if size is not None:
            if len(size) != 2 or len(shape or ()) != 3:
                raise ValueError(f"`size` is (height, width) of images. Received: size={size!r}")
            self._size = tuple(check_integer("size", side, low=1) for side in size)
            shape = (*self._size, shape[-1])
        kinds = [self._kind(info.features[key]) for key in self._keys]
        self.inputs = self._spec("inputs", shape, kinds[0])
        if not (kinds[0].kind in "iu" and kinds[0].itemsize >= 4):
            self.inputs = tf.TensorSpec(self.inputs.shape, tf.float32)
        self.targets = self._spec("targets", info.features[self._keys[1]].shape, kinds[1])
        self.outputs = self._outputs(info.features[self._keys[1]], outputs)
        self.examples, _ = (self._examples(split) for split in splits)
        check_augment(augment, tuple(self.inputs.shape), kinds[0])
        self.augment, self.repeats = augment, augment is None

    def read(self) -> tuple[Examples, Examples]:
        train, test = (self._arrays(split) for split in self._splits)
        return train, test

    def _features(self, info, given):
        known = list(getattr(info.features, "keys", list)())
        pair = [key for key in info.supervised_keys or ()][:2]
        keys = [one or (pair[i] if len(pair) == 2 else None) for i, one in enumerate(given)]
        for what, key in zip(("inputs", "targets"), keys, strict=True):
            if key not in known:
                raise ValueError(
                    f"`{what}` must be a feature of data set {self.name!r}: {', '.join(known)}. "
                    f"Received: {what}={key!r}"
                )
        return keys

    def _kind(self, feature):
        return np.dtype(feature.np_dtype if feature.np_dtype is not str else object)

    def _spec(self, what, shape, dtype):
        if dtype.kind not in "biuf" or shape is None or None in shape:
            raise ValueError(
                f"`{what}` of data set {self.name!r} must be numbers of one shape (images of many "
                f"sizes need `size`). Received: {dtype} of shape {shape}"
            )
        kinds = {"f": tf.float32, "i": tf.int32, "u": tf.int32, "b": tf.bool}
        return tf.TensorSpec(shape, kinds[dtype.kind])

    def _outputs(self, feature, given):
        if not self.targets.dtype.is_integer:
            return int(np.prod(self.targets.shape))
        if given is None:
            given = getattr(feature, "num_classes", None)
        return check_integer("outputs", given, low=1)

    def _examples(self, split):
        try:
            return self._builder.info.splits[split].num_examples
        except (KeyError, ValueError) as error:
            known = ", ".join(self._builder.info.splits)
            raise ValueError(
                f"data set {self.name!r} has no split {split!r}; its splits are {known}"
            ) from error

    def _arrays(self, split):
        read_config = import_tfds().ReadConfig(try_autocache=False)
        data = self._builder.as_dataset(split=split, read_config=read_config)
        batches = data.map(self._pair).batch(_BATCH).as_numpy_iterator()
        inputs, targets = zip(*batches, strict=True)
        return np.concatenate(inputs), np.concatenate(targets)

    def _pair(self, example):
        inputs, targets = (example[key] for key in self._keys)
        if self._size is not None:
            resized = tf.image.resize(inputs, self._size, antialias=True)
            if inputs.dtype == tf.uint8:
                resized = tf.clip_by_value(tf.round(resized), 0, 255)
            inputs = tf.cast(resized, inputs.dtype)
        return inputs, targets
