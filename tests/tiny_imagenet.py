"""ImageNet's archives with a few images made on the spot, prepared by tensorflow-datasets."""

import io
import os
import tarfile

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

CLASSES = ("n01440764", "n01443537")
TRAIN, TEST = 24, 6


def jpeg(rng):
    """An image of its own size; red grows with the row, green with the column."""
    height, width = rng.integers(40, 90, 2)
    image = np.zeros((height, width, 3), "uint8")
    image[..., 0] = np.linspace(0, 255, height)[:, None]
    image[..., 1] = np.linspace(0, 255, width)
    return tf.io.encode_jpeg(image, quality=100).numpy()


def write_archives(directory):
    """The two files that users fetch from image-net.org, where they have to put them."""
    manual = os.path.join(directory, "downloads", "manual")
    os.makedirs(manual)
    rng = np.random.default_rng(0)
    with tarfile.open(os.path.join(manual, "ILSVRC2012_img_train.tar"), "w") as train:
        for name in CLASSES:
            images = io.BytesIO()
            with tarfile.open(fileobj=images, mode="w") as inner:
                for i in range(TRAIN // len(CLASSES)):
                    _add(inner, f"{name}_{i}.JPEG", jpeg(rng))
            _add(train, f"{name}.tar", images.getvalue())
    with tarfile.open(os.path.join(manual, "ILSVRC2012_img_val.tar"), "w") as test:
        for i in range(TEST):
            _add(test, f"ILSVRC2012_val_{i + 1:08}.JPEG", jpeg(rng))


def prepare(directory, shards):
    write_archives(directory)
    config = tfds.download.DownloadConfig(try_download_gcs=False, num_shards=shards)
    tfds.builder("imagenet2012", data_dir=directory).download_and_prepare(download_config=config)


def _add(tar, name, content):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))
