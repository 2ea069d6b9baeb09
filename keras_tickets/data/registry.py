"""The data sets by name."""

import functools

from keras_tickets.data import published
from keras_tickets.data.augmentation import crop_and_flip
from keras_tickets.data.dataset import Dataset
from keras_tickets.data.digits import digits

DATASETS = ("digits", "mnist", "fashion_mnist", "cifar10")

_AUGMENTATIONS = {"cifar10": functools.partial(crop_and_flip, padding=4)}


def load(
    name: str,
    batch_size: int = 128,
    *,
    seed: int = 0,
    test_batch_size: int = 1000,
    augment: bool = True,
    data_dir: str | None = None,
) -> Dataset:
    """Loads a data set into memory.

    "digits" comes with scikit-learn and needs no download: 1,797 images of 8x8 pixels, every fifth
    image of each class held out for the test. The others are read through tensorflow-datasets,
    which downloads what it does not find. Images are standardised with the mean and standard
    deviation of the training images, per channel. CIFAR-10 is augmented by random crops of the
    image padded by 4 pixels and random horizontal flips.

    Args:
        name: "digits", "mnist", "fashion_mnist" or "cifar10".
        batch_size: Examples per training step, over all replicas; what is left over of an epoch is
            dropped.
        seed: Seed of order and augmentation.
        test_batch_size: Examples per step of the test set; the last batch may be smaller.
        augment: Whether to augment, where the data set has an augmentation.
        data_dir: Directory of tensorflow-datasets. None: `$TFDS_DATA_DIR`, else
            `~/tensorflow_datasets`.

    Returns:
        A `Dataset`.

    Raises:
        ValueError: `name` is unknown, or the data can be neither found nor downloaded.

    Example:

    >>> load("digits", batch_size=32).input_shape
    (8, 8, 1)
    """
    if name not in DATASETS:
        raise ValueError(f"`name` must be one of {', '.join(DATASETS)}, got {name!r}.")
    train, test = digits() if name == "digits" else published.load(name, data_dir)
    return Dataset(
        name,
        train,
        test,
        batch_size=batch_size,
        seed=seed,
        test_batch_size=test_batch_size,
        augment=_AUGMENTATIONS.get(name) if augment else None,
    )
