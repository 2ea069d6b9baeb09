"""Data sets read through tensorflow-datasets."""

import os

import numpy as np


def load(
    name: str, data_dir: str | None = None
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Reads the "train" and "test" splits of an image data set into memory, in their own order.

    Args:
        name: Name of the data set in tensorflow-datasets.
        data_dir: Directory of tensorflow-datasets. None: `$TFDS_DATA_DIR`, else
            `~/tensorflow_datasets`.

    Returns:
        (images, labels) for training and for testing: uint8 of shape (n, height, width, channels)
        and int32 of shape (n,).

    Raises:
        ValueError: The data can be neither found nor downloaded.
    """
    import tensorflow_datasets as tfds

    directory = data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    try:
        splits = tfds.load(
            name,
            split=["train", "test"],
            batch_size=-1,
            as_supervised=True,
            data_dir=directory,
            shuffle_files=False,
        )
    except Exception as error:  # Downloads fail with whatever the network library raises.
        cause = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise ValueError(
            f"data set {name!r} is not in {directory!r} and could not be downloaded: {cause} "
            "(set TFDS_DATA_DIR to a directory that holds it, or use 'digits', which needs no "
            "download)"
        ) from error
    return tuple((images, labels.astype("int32")) for images, labels in tfds.as_numpy(splits))
