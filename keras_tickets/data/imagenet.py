"""ImageNet (ILSVRC 2012): where it is prepared, and how its images are cropped."""

import os

import tensorflow as tf

from keras_tickets._optional import import_tfds
from keras_tickets.data import published

NAME = "imagenet2012"
ARCHIVES = ("ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar")
# Mean and standard deviation of the red, green and blue values of the training images.
MEAN = (123.675, 116.28, 103.53)
DEVIATION = (58.395, 57.12, 57.375)
AREA = (0.1, 1.0)
ASPECT_RATIO = (0.8, 1.25)
CENTER = 224 / 256


def builder(data_dir: str | None = None):
    """Returns the ImageNet builder of tensorflow-datasets, prepared on the first call.

    ImageNet cannot be downloaded without an account at image-net.org: put its two archives into the
    folder `downloads/manual` of the directory. They are unpacked once, which takes hours and 300
    GB.

    Args:
        data_dir: Directory of tensorflow-datasets. None: `$TFDS_DATA_DIR`, else
            `~/tensorflow_datasets`.

    Returns:
        A `tfds.core.DatasetBuilder` with the splits "train" and "validation".

    Raises:
        ValueError: The data is not prepared and cannot be.

    Example:

    ```python
    from keras_tickets.data import imagenet

    try:
        assert imagenet.builder().info.splits["validation"].num_examples == 50_000
    except ValueError as error:
        print(error)
    ```
    """
    tfds = import_tfds()
    directory = published.directory(data_dir)
    archives = os.path.join(directory, "downloads", "manual")
    result = tfds.builder(NAME, data_dir=directory)
    if not result.data_path.exists():
        missing = [name for name in ARCHIVES if not os.path.exists(os.path.join(archives, name))]
        if missing:
            raise ValueError(
                f"Data set {NAME!r} is not in {directory!r}, and to prepare it "
                f"{' and '.join(missing)} must be in {archives!r} (from image-net.org; "
                "TFDS_DATA_DIR names another directory)"
            )
        config = tfds.download.DownloadConfig(try_download_gcs=False)
        result.download_and_prepare(download_config=config)
    for split in ("train", "validation"):
        if split not in result.info.splits:
            raise ValueError(f"Data set {NAME!r} in {directory!r} has no split {split!r}")
    return result


def crop_at_random(encoded: tf.Tensor, shape: tuple[int, int, int], seed: tf.Tensor) -> tf.Tensor:
    """Decodes a random part of an image, resizes it, and mirrors it with probability 1/2.

    The part covers 10 to 100 % of the image's area, with an aspect ratio of 0.8 to 1.25, as in the
    code of the papers on lottery tickets. If ten draws find no such part, it is the whole image.

    Args:
        encoded: Scalar string tensor, a JPEG file.
        shape: (height, width, channels) of the result.
        seed: int32 tensor of shape (2,): the result is a function of image and seed.

    Returns:
        float32 tensor of that shape, with values from 0 to 255.

    Example:

    ```python
    import tensorflow as tf
    from keras_tickets.data.imagenet import crop_at_random

    jpeg = tf.io.encode_jpeg(tf.zeros((40, 60, 3), tf.uint8))
    assert crop_at_random(jpeg, (32, 32, 3), tf.constant([0, 1])).shape == (32, 32, 3)
    ```

    References:
        Szegedy et al., "Going Deeper with Convolutions", CVPR 2015, section 6.
    """
    crop_seed, mirror_seed = tf.unstack(tf.random.split(seed, 2))
    begin, extent, _ = tf.image.stateless_sample_distorted_bounding_box(
        tf.image.extract_jpeg_shape(encoded),
        bounding_boxes=tf.zeros([1, 0, 4]),
        seed=crop_seed,
        min_object_covered=0.0,
        aspect_ratio_range=ASPECT_RATIO,
        area_range=AREA,
        max_attempts=10,
        use_image_if_no_bounding_boxes=True,
    )
    image = _decode(encoded, shape, begin[:2], extent[:2])
    return tf.image.stateless_random_flip_left_right(image, mirror_seed)


def crop_center(encoded: tf.Tensor, shape: tuple[int, int, int]) -> tf.Tensor:
    """Decodes the central square of an image, 224/256 of its shorter side, and resizes it.

    Args:
        encoded: Scalar string tensor, a JPEG file.
        shape: (height, width, channels) of the result.

    Returns:
        float32 tensor of that shape, with values from 0 to 255.

    Example:

    ```python
    import tensorflow as tf
    from keras_tickets.data.imagenet import crop_center

    jpeg = tf.io.encode_jpeg(tf.zeros((40, 60, 3), tf.uint8))
    assert crop_center(jpeg, (32, 32, 3)).shape == (32, 32, 3)
    ```
    """
    sides = tf.image.extract_jpeg_shape(encoded)[:2]
    shorter = tf.cast(tf.reduce_min(sides), tf.float32)
    side = tf.maximum(tf.cast(tf.round(shorter * CENTER), tf.int32), 1)
    return _decode(encoded, shape, (sides - side) // 2, tf.stack([side, side]))


def _decode(encoded, shape, begin, extent):
    window = tf.concat([begin, extent], axis=0)
    image = tf.image.decode_and_crop_jpeg(encoded, window, channels=shape[-1])
    image = tf.image.resize(image, shape[:2], antialias=True)
    return tf.ensure_shape(tf.clip_by_value(image, 0.0, 255.0), shape)
