"""The data sets by name."""

import dataclasses
import functools
from collections.abc import Callable

from keras_tickets._checks import check_one_of
from keras_tickets.data import imagenet, published
from keras_tickets.data.augmentation import crop_and_flip
from keras_tickets.data.dataset import Dataset
from keras_tickets.data.digits import digits
from keras_tickets.data.downsampling import halve
from keras_tickets.data.streamed_dataset import StreamedDataset


@dataclasses.dataclass(frozen=True)
class Description:
    """What is known about a data set before it is loaded.

    Attributes:
        input_shape: Shape of one image.
        classes: Number of classes.
        augment: As in `Dataset`.
        streamed: Whether images are read from disk batch by batch; otherwise all are in memory.
        half_of: Name of the data set whose images these are, at half their height and width.
        examples: Number of training examples, before any are held out; None if unknown.

    Example:

    ```python
    import keras_tickets as kt

    known = kt.data.describe("mnist")
    assert (known.input_shape, known.classes, known.streamed) == ((28, 28, 1), 10, False)
    ```
    """

    input_shape: tuple[int, int, int]
    classes: int
    augment: Callable | None = None
    streamed: bool = False
    half_of: str | None = None
    examples: int | None = None


# ImageNet at the size that Inception-v3 reads.
LARGER_IMAGENET = f"{imagenet.NAME}_299"
DATASETS = {
    "digits": Description((8, 8, 1), 10, examples=1_442),
    "mnist": Description((28, 28, 1), 10, examples=60_000),
    "fashion_mnist": Description((28, 28, 1), 10, examples=60_000),
    "cifar10": Description(
        (32, 32, 3), 10, functools.partial(crop_and_flip, padding=4), examples=50_000
    ),
    "cifar100": Description(
        (32, 32, 3), 100, functools.partial(crop_and_flip, padding=4), examples=50_000
    ),
    "cifar10_16x16": Description(
        (16, 16, 3),
        10,
        functools.partial(crop_and_flip, padding=2),
        half_of="cifar10",
        examples=50_000,
    ),
    imagenet.NAME: Description((224, 224, 3), 1000, streamed=True, examples=1_281_167),
    LARGER_IMAGENET: Description((299, 299, 3), 1000, streamed=True, examples=1_281_167),
}


def describe(name: str) -> Description:
    """Describes a data set without loading it.

    Args:
        name: "digits", "mnist", "fashion_mnist", "cifar10", "cifar100", "cifar10_16x16",
            "imagenet2012" or "imagenet2012_299".

    Returns:
        Its `Description`.

    Raises:
        ValueError: `name` is unknown.

    Example:

    ```python
    import keras_tickets as kt

    assert kt.data.describe("mnist").input_shape == (28, 28, 1)
    ```
    """
    return DATASETS[check_one_of("name", name, tuple(DATASETS))]


def load(
    name: str,
    batch_size: int = 128,
    *,
    seed: int = 0,
    test_batch_size: int | None = None,
    steps_per_epoch: int | None = None,
    augment: bool = True,
    validation: float = 0.0,
    data_dir: str | None = None,
) -> Dataset | StreamedDataset:
    """Loads a data set into memory, or opens one that does not fit in memory.

    "digits" comes with scikit-learn and needs no download: 1,797 images of 8x8 pixels, every fifth
    image of each class is in the test set. The others are read through tensorflow-datasets, which
    downloads missing data. Images are standardized per channel with the mean and standard deviation
    of the training images. CIFAR-10 and CIFAR-100 are augmented by random crops of the image padded
    by 4 pixels and random horizontal flips. "cifar10_16x16" holds CIFAR-10 averaged over squares of
    2x2 pixels, padded by 2, so that a network costs a quarter.

    ImageNet, "imagenet2012", is read from disk during training, cropped at random and flipped; its
    50,000 validation images are the test set. "imagenet2012_299" is the same with crops of 299
    pixels a side instead of 224. You must download its archives yourself once, see
    `keras_tickets.data.imagenet.builder`.

    Args:
        name: "digits", "mnist", "fashion_mnist", "cifar10", "cifar100", "cifar10_16x16",
            "imagenet2012" or "imagenet2012_299".
        batch_size: Examples per training step, over all replicas; an incomplete batch at the end of
            an epoch is dropped.
        seed: Seed of hold-out, order and augmentation.
        test_batch_size: Examples per step of the test set and of validation; the last batch may be
            smaller. None: 1000, for ImageNet `batch_size`.
        steps_per_epoch: Training batches per epoch, at most as many as there are. None: all.
        augment: Whether to augment, if the data set has an augmentation.
        validation: Share of the training examples, in [0, 1), that is held out for validation:
            drawn from `seed`, never trained on, and read by the data set's method `validation`.
        data_dir: Directory of tensorflow-datasets. None: `$TFDS_DATA_DIR`, else
            `~/tensorflow_datasets`.

    Returns:
        A `Dataset`, or for ImageNet a `StreamedDataset`, which has the same methods.

    Raises:
        TypeError: `validation` is not a number.
        ValueError: `name` is unknown, a number is out of range, or the data can be neither found
            nor downloaded.

    Example:

    ```python
    import keras_tickets as kt

    digits = kt.data.load("digits", batch_size=32, validation=0.1)
    images, labels = next(iter(digits.train(start_epoch=3)))
    assert images.shape == (32, 8, 8, 1)
    assert digits.held_out == sum(len(labels) for _, labels in digits.validation())
    ```
    """
    description = describe(name)
    if description.streamed:
        return StreamedDataset(
            name,
            imagenet.builder(data_dir),
            description.input_shape,
            batch_size=batch_size,
            seed=seed,
            test_batch_size=test_batch_size,
            steps_per_epoch=steps_per_epoch,
            augment=augment,
            validation=validation,
        )
    if name == "digits":
        train, test = digits()
    else:
        train, test = published.load(description.half_of or name, data_dir)
    if description.half_of:
        train, test = ((halve(images), labels) for images, labels in (train, test))
    return Dataset(
        name,
        train,
        test,
        batch_size=batch_size,
        seed=seed,
        test_batch_size=1000 if test_batch_size is None else test_batch_size,
        steps_per_epoch=steps_per_epoch,
        augment=description.augment if augment else None,
        validation=validation,
    )
