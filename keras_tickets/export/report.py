"""Measurements of an export."""

import dataclasses
import pathlib
import zlib
from collections.abc import Iterable
from typing import NamedTuple

from keras_tickets._tables import count_text, fill

CHUNK = 1 << 20


class Latency(NamedTuple):
    """Time of one call in milliseconds, measured over many calls.

    Attributes:
        median: The median.
        lowest: The shortest time.
        highest: The longest time.

    Example:

    ```python
    from keras_tickets.export import Latency

    latency = Latency(median=0.2, lowest=0.1, highest=0.9)
    assert latency.lowest <= latency.median <= latency.highest
    ```
    """

    median: float
    lowest: float
    highest: float


@dataclasses.dataclass(frozen=True)
class ExportReport:
    """What `kt.export` wrote and measured.

    Attributes:
        files: Every file written.
        bytes: Their total size.
        gzip_bytes: Their total size with each file compressed by gzip, as in a download or an
            archive.
        max_abs_difference: Largest absolute difference between the outputs of the model and of the
            exported files, read back, on random inputs; over all outputs, in float32.
        latency_ms: `Latency` of one call of the exported model on this host for each batch size
            measured, in milliseconds.
        note: What the numbers mean for a sparse model, in words.
        ram_bytes: Peak growth of a process's memory when it reads the exported model and calls it
            at the first batch size; only if requested, and on Linux.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    model = kt.sparsify(keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)]), 0.5)
    report = kt.export(model, "report_of_this_model")
    assert report.bytes == sum(file.stat().st_size for file in report.files)
    print(report)
    ```
    """

    files: tuple[pathlib.Path, ...]
    bytes: int
    gzip_bytes: int
    max_abs_difference: float
    latency_ms: dict[int, Latency]
    note: str
    ram_bytes: int | None = None

    def __str__(self) -> str:
        files = count_text(len(self.files), "file")
        lines = [
            f"{files}, {self.bytes:,} bytes ({self.gzip_bytes:,} with gzip)",
            f"largest output difference {self.max_abs_difference:.3g}",
        ]
        if self.latency_ms:
            lines.append("latency on this host, median (lowest to highest):")
        lines += [
            f"  batch {batch}: {time.median:.3f} ms ({time.lowest:.3f} to {time.highest:.3f})"
            for batch, time in self.latency_ms.items()
        ]
        return "\n".join([*lines, fill(self.note)])


def gzip_size(files: Iterable[pathlib.Path]) -> int:
    """Bytes that the files take after gzip, each on its own, at the default level."""
    total = 0
    for path in files:
        compressor = zlib.compressobj(wbits=31)
        with open(path, "rb") as file:
            while chunk := file.read(CHUNK):
                total += len(compressor.compress(chunk))
        total += len(compressor.flush())
    return total
