"""`image_folder`: a folder of images for each class."""

import os
import pathlib
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from keras_tickets._checks import check_integer, check_one_of
from keras_tickets._files.home import expand_home
from keras_tickets.data.arrays import Examples
from keras_tickets.data.augmentation import check_augment
from keras_tickets.data.read_later import ReadLater
from keras_tickets.data.source import Source

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png")
EVERY = 5


def image_folder(
    path: str | os.PathLike,
    size: Sequence[int],
    *,
    channels: int = 3,
    augment: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None = None,
    name: str | None = None,
) -> Source:
    """Images in one folder for each class, read into memory.

    Below `path` there are either the folders `train` and `test`, with a folder for each class in
    both, or the folders of the classes alone: every fifth image of each, in the order of names, is
    then in the test set. Classes are numbered in the order of their names.

    Args:
        path: The folder. BMP, GIF (the first picture), JPEG and PNG files are read, hidden ones and
            others are not.
        size: (height, width) that images are resized to.
        channels: 3 for color, 1 for gray.
        augment: As in `kt.data.Dataset`; in a gin file, `@crop_and_flip` with
            `crop_and_flip.padding = 4`.
        name: Name for messages and summaries. None: that of the folder.

    Returns:
        A `kt.data.Source`. Images take `height * width * channels` bytes each.

    Raises:
        ValueError: There is no such folder, no images are in it, or a file cannot be read.

    Example:

    ```python
    import pathlib
    import tensorflow as tf
    import keras_tickets as kt

    for kind in ("cats", "dogs"):
        pathlib.Path("pets", kind).mkdir(parents=True)
        for number in range(5):
            picture = tf.random.stateless_uniform((12, 9, 3), (0, number), 0, 255, tf.int32)
            png = tf.io.encode_png(tf.cast(picture, tf.uint8)).numpy()
            pathlib.Path("pets", kind, f"{number}.png").write_bytes(png)
    source = kt.data.image_folder("pets", (8, 8))
    assert (source.inputs.shape, source.outputs, source.examples) == ((8, 8, 3), 2, 8)
    ```
    """
    return _ImageFolder(path, size, channels, augment, name)


class _ImageFolder(ReadLater):
    def __init__(self, path, size, channels, augment, name):
        self._path = expand_home(path)
        if not self._path.is_dir():
            raise ValueError(f"image folder {str(path)!r} does not exist")
        if not isinstance(size, list | tuple) or len(size) != 2:
            raise ValueError(f"`size` must be (height, width). Received: size={size!r}")
        height, width = (check_integer("size", side, low=1) for side in size)
        check_one_of("channels", channels, (1, 3))
        self._train, self._test = self._list()
        self.name = self._path.resolve().name if name is None else name
        self.inputs = tf.TensorSpec((height, width, channels), tf.float32)
        self.targets = tf.TensorSpec((), tf.int32)
        self.outputs = len(self._classes)
        self.examples = len(self._train)
        check_augment(augment, (height, width, channels), tf.uint8)
        self.augment, self.repeats = augment, augment is None

    def read(self) -> tuple[Examples, Examples]:
        train, test = (
            (
                np.stack([self._image(file) for file, _ in files]),
                np.array([label for _, label in files], "int32"),
            )
            for files in (self._train, self._test)
        )
        return train, test

    def _list(self):
        """(file, class) of all images for training and for testing."""
        parts = [self._path / split for split in ("train", "test")]
        split = all(part.is_dir() for part in parts)
        self._classes = _folders(parts[0] if split else self._path)
        if len(self._classes) < 2:
            raise ValueError(
                f"image folder {str(self._path)!r} must hold a folder of images for each class, or "
                f"`train` and `test` with such folders. Found: {self._classes or 'no folders'}"
            )
        if split:
            if unknown := set(_folders(parts[1])) - set(self._classes):
                raise ValueError(
                    f"image folder {str(parts[1])!r} has classes that are not in 'train': "
                    f"{', '.join(sorted(unknown))}"
                )
            train, test = ([*self._of_classes(part)] for part in parts)
            return [one for files in train for one in files], [o for files in test for o in files]
        every = [*self._of_classes(self._path)]
        test = [one for files in every for one in files[EVERY - 1 :: EVERY]]
        if not test:
            raise ValueError(
                f"image folder {str(self._path)!r} must have {EVERY} images or more of a class: "
                "every fifth is for the test"
            )
        held_out = set(test)
        return [one for files in every for one in files if one not in held_out], test

    def _of_classes(self, folder):
        for label, name in enumerate(self._classes):
            place = folder / name
            files = sorted(place.iterdir()) if place.is_dir() else []
            images = [file for file in files if file.suffix.lower() in SUFFIXES]
            found = [(file, label) for file in images if file.name[0] != "." and file.is_file()]
            if not found:
                raise ValueError(
                    f"image folder {str(place)!r} has no images: {', '.join(SUFFIXES)} are read"
                )
            yield found

    def _image(self, file):
        height, width, channels = self.inputs.shape
        try:
            content = tf.io.read_file(str(file))
            image = tf.io.decode_image(content, channels, expand_animations=False)
        except tf.errors.OpError as error:
            raise ValueError(f"image {str(file)!r} cannot be read: {error.message}") from error
        if image.shape[:2] != (height, width):
            image = tf.image.resize(image, (height, width), antialias=True)
            image = tf.cast(tf.clip_by_value(tf.round(image), 0, 255), tf.uint8)
        return image.numpy()


def _folders(path: pathlib.Path) -> list[str]:
    return sorted(one.name for one in path.iterdir() if one.is_dir() and one.name[0] != ".")
