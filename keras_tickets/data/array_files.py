"""`npz`: a data set in a file of NumPy arrays."""

import os
import zipfile

import numpy as np

from keras_tickets._files.home import expand_home
from keras_tickets.data.arrays import Arrays

ARRAYS = ("x_train", "y_train", "x_test", "y_test")


def npz(
    path: str | os.PathLike,
    *,
    outputs: int | None = None,
    standardize: bool | None = None,
    name: str | None = None,
) -> Arrays:
    """The data set in an `.npz` file with arrays `x_train`, `y_train`, `x_test` and `y_test`.

    Args:
        path: The file; nothing in it is unpickled.
        outputs: As in `kt.data.Arrays`, like the next.
        standardize: Whether inputs become float32 with mean 0 and deviation 1.
        name: Name for messages and summaries. None: that of the file.

    Returns:
        A `kt.data.Arrays`; the dtype of `y_train` says what is learned.

    Raises:
        ValueError: There is no such file, it is damaged, or it lacks an array.

    Example:

    ```python
    import numpy as np
    import keras_tickets as kt

    x = np.random.default_rng(0).normal(size=(50, 4))
    np.savez("sums.npz", x_train=x, y_train=x.sum(1), x_test=x[:9], y_test=x[:9].sum(1))
    source = kt.data.npz("sums.npz")
    assert (source.name, source.examples, source.outputs) == ("sums", 50, 1)
    ```
    """
    file = expand_home(path)
    if not file.is_file():
        raise ValueError(f"data file {str(path)!r} does not exist")
    try:
        with np.load(file, allow_pickle=False) as content:
            if missing := [array for array in ARRAYS if array not in content]:
                raise ValueError(
                    f"it has no {', '.join(missing)}; its arrays are {', '.join(content) or 'none'}"
                )
            x_train, y_train, x_test, y_test = (content[array] for array in ARRAYS)
    except (ValueError, OSError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"data file {str(path)!r} must be an .npz file of arrays {', '.join(ARRAYS)}: {error}"
        ) from error
    return Arrays(
        file.stem if name is None else name,
        (x_train, y_train),
        (x_test, y_test),
        outputs=outputs,
        standardize=standardize,
    )
