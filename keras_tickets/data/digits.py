"""The optical digits that come with scikit-learn."""

import numpy as np

from keras_tickets._optional import import_optional


def digits() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """The 1,797 digits of 8x8 pixels, split by taking every fifth image of each class for the test.

    The split involves no random numbers: it is the same with every version of every library.

    Returns:
        (images, labels) for training and for testing: uint8 of shape (n, 8, 8, 1) with values from
        0 to 16, and int32 of shape (n,).

    Example:

    ```python
    from keras_tickets.data.digits import digits

    (images, labels), (test_images, test_labels) = digits()
    assert len(labels) == 1442 and len(test_labels) == 355
    ```

    References:
        Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
        Repository, 1998.
    """
    bunch = import_optional("sklearn.datasets", "scikit-learn", "The digits").load_digits()
    images = bunch.images[..., None].astype("uint8")
    labels = bunch.target.astype("int32")
    held_out = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        held_out[np.flatnonzero(labels == label)[4::5]] = True
    return (images[~held_out], labels[~held_out]), (images[held_out], labels[held_out])
