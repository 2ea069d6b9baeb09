"""Data sets read through tensorflow-datasets."""

import os
import socket
import urllib.request

import numpy as np

from keras_tickets._optional import import_tfds

DOWNLOAD_HOST = "storage.googleapis.com"


def load(
    name: str, data_dir: str | None = None
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Reads the "train" and "test" splits of an image data set into memory, in their own order.

    Args:
        name: Name of the data set in tensorflow-datasets.
        data_dir: Directory of tensorflow-datasets, searched for the data set, which is downloaded
            into it if missing. None: `$TFDS_DATA_DIR`, else `~/tensorflow_datasets`.

    Returns:
        (images, labels) for training and for testing: uint8 of shape (n, height, width, channels)
        and int32 of shape (n,).

    Raises:
        ValueError: The data can be neither found nor downloaded.

    Example:

    ```python
    from keras_tickets.data import published

    try:
        (images, labels), _ = published.load("mnist")
        assert images.shape == (60000, 28, 28, 1)
    except ValueError as error:
        print(error)
    ```
    """
    builder = prepared(name, data_dir)
    return _read(builder, "train"), _read(builder, "test")


def prepared(name: str, data_dir: str | None = None):
    """The builder of a data set, which is downloaded if it is missing.

    Args:
        name: As in `load`.
        data_dir: As in `load`.

    Raises:
        ValueError: The data can be neither found nor downloaded.
    """
    tfds = import_tfds()
    where = directory(data_dir)
    try:
        builder = tfds.builder(name, data_dir=where)
        if not builder.data_path.exists():
            _check_network()
            builder.download_and_prepare()
    except Exception as error:  # Downloads fail with whatever the network library raises.
        cause = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise ValueError(
            f"Data set {name!r} is not in {where!r} and could not be downloaded: {cause} "
            "(set TFDS_DATA_DIR to a directory that holds it, or use 'digits', which needs no "
            "download)"
        ) from error
    return builder


def directory(data_dir: str | None = None) -> str:
    """Directory of tensorflow-datasets: as given, `$TFDS_DATA_DIR`, or `~/tensorflow_datasets`."""
    given = data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return os.path.expanduser(given)


def _read(builder, split):
    batches = builder.as_dataset(split=split, as_supervised=True).batch(1000).as_numpy_iterator()
    images, labels = zip(*batches, strict=True)
    return np.concatenate(images), np.concatenate(labels).astype("int32")


def _check_network():
    """Raises `OSError` at once if there is no network; a download would retry for minutes."""
    if not urllib.request.getproxies():
        socket.getaddrinfo(DOWNLOAD_HOST, 443)
