"""A digest of a loaded data set, by which several processes compare theirs."""

import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from keras_tickets.data.dataset import Dataset
from keras_tickets.data.source import Batches, Source


def digest_of_data(source: Source, batches: Batches) -> dict[str, Any]:
    """What is the same in every process that has the same data set, in small.

    Args:
        source: The data set, described.
        batches: The same, loaded.

    Returns:
        Names, sizes and checksums, as values that JSON knows. Of data in memory every example
        counts, of other data the first batches.

    Example:

    ```python
    import keras_tickets as kt
    from keras_tickets.data.digest import digest_of_data
    from keras_tickets.data.named import as_source

    source = as_source("digits")
    found = [digest_of_data(source, source.load(batch_size=64, seed=seed)) for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]
    ```
    """
    first = [next(iter(data)) for data in (batches.train(), batches.test())]
    arrays = [np.asarray(array) for array in tf.nest.flatten(first)]
    if isinstance(batches, Dataset):
        arrays += batches.arrays()
    return {
        "name": source.name,
        "inputs": str(source.inputs),
        "targets": str(source.targets),
        "outputs": source.outputs,
        "examples": source.examples,
        "held_out": batches.held_out,
        "steps_per_epoch": batches.steps_per_epoch,
        "batch_size": batches.batch_size,
        "checksum": _checksum(arrays),
    }


def _checksum(arrays: Iterable[np.ndarray]) -> int:
    total = 0
    for array in arrays:
        total = zlib.crc32(np.ascontiguousarray(array).data, total)
    return total
