"""Measurements of an export."""

import dataclasses
import pathlib
import zlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from keras_tickets._tables import count_text, fill, render_table

CHUNK = 1 << 20
MOST_NAMES = 3


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
class ExportedKernel:
    """How a kernel lies in a LiteRT file, and why.

    Attributes:
        name: The name of its layer.
        form: "dense": all values. "packed": non-zero values and columns, expanded before the first
            call. "csr", "1x4", "1x16": non-zero values or blocks of values along the input, with
            which the interpreter computes as they are.
        bytes: Bytes of its values and indices in the file.
        reason: Why it has this form.
        speedups: How many times as fast as dense its layer is in each sparse form, by batch size
            and form, as measured on this machine.
        best: The form that would be chosen, by batch size.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    dense = keras.Sequential([keras.Input((512,)), keras.layers.Dense(512, name="fc")])
    model = kt.sparsify(dense, 0.95, structure=kt.structures.Block.for_litert())
    report = kt.export(model, "fc.tflite", format="litert", kernels="sparse")
    assert report.kernels[0].form == "1x4"
    print(report.kernels[0].speedups)
    ```
    """

    name: str
    form: str
    bytes: int
    reason: str = ""
    speedups: Mapping[int, Mapping[str, float]] = dataclasses.field(default_factory=dict)
    best: Mapping[int, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class ExportedOperator:
    """Whether an operator of a LiteRT file runs sparse on ARM and in WebAssembly, or why not.

    The 1x1 convolutions among them are computed without their zeros; the others compute in the same
    layout of values, without which those could not.

    Attributes:
        name: The name of its layer.
        kind: Its name in the format, such as "CONV_2D".
        sparse: Whether it runs sparse.
        reason: The first condition that is not met, and how to meet it; empty if it runs sparse.

    Example:

    ```python
    import keras
    from keras import layers
    import keras_tickets as kt

    dense = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.ZeroPadding2D(1),
            layers.Conv2D(32, 3, 2, activation="relu"),
            layers.Conv2D(64, 1, activation="relu"),
            layers.GlobalAveragePooling2D(),
        ]
    )
    model = kt.sparsify(dense, 0.9)
    report = kt.export(model, "convolutions.tflite", format="litert")
    print([operator.name for operator in report.on_arm if not operator.sparse])
    ```
    """

    name: str
    kind: str
    sparse: bool
    reason: str = ""


@dataclasses.dataclass(frozen=True)
class KernelReport:
    """The kernels of a LiteRT file, and what their forms gain; as in `ExportReport`."""

    kernels: tuple[ExportedKernel, ...] = ()
    on_arm: tuple[ExportedOperator, ...] = ()
    note: str = ""
    speedup: Mapping[int, float] = dataclasses.field(default_factory=dict)
    ram_bytes: int | None = None
    packed_ram_bytes: int | None = None


@dataclasses.dataclass(frozen=True)
class ExportReport:
    """What `kt.export` wrote and measured.

    Attributes:
        files: Every file written.
        bytes: Their total size.
        gzip_bytes: Their total size with each file compressed by gzip, as in a download or an
            archive.
        max_abs_difference: Largest absolute difference between the outputs of the model and of the
            exported files, read back, on random inputs or the calibration data; over all outputs,
            in float32.
        latency_ms: `Latency` of one call of the exported model on this host for each batch size
            measured, in milliseconds.
        note: What the numbers mean for a sparse model, in words.
        ram_bytes: Peak growth of a process's memory when it reads the exported model and calls it;
            on Linux, for LiteRT files with kernels that are computed with as they are stored.
        packed_ram_bytes: The same with all kernels expanded.
        kernels: An `ExportedKernel` for each kernel of a LiteRT file.
        speedup: How many times as fast as with all kernels expanded a LiteRT file is, by batch
            size.
        on_arm: An `ExportedOperator` for each operator of a LiteRT file with convolutions.

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
    packed_ram_bytes: int | None = None
    kernels: tuple[ExportedKernel, ...] = ()
    speedup: Mapping[int, float] = dataclasses.field(default_factory=dict)
    on_arm: tuple[ExportedOperator, ...] = ()

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
        lines += [*_kernel_lines(self.kernels), *_operator_lines(self.on_arm)]
        return "\n".join([*lines, fill(self.note)])


def _kernel_lines(kernels: Iterable[ExportedKernel]) -> list[str]:
    """A table of the kernels that can be computed with as they are stored."""
    shown = [kernel for kernel in kernels if kernel.best or kernel.form not in ("dense", "packed")]
    if not shown:
        return []
    batches = max((list(kernel.best) for kernel in shown), key=len)
    columns = ["kernel", "form", "bytes", *(f"batch {batch}" for batch in batches)]
    rows = [
        [
            kernel.name,
            kernel.form,
            f"{kernel.bytes:,}",
            *(_gain(kernel, batch) for batch in batches),
        ]
        for kernel in shown
    ]
    heading = "kernels by batch size: the best form, times as fast as dense where measured"
    return [heading, render_table(columns, rows)]


def _operator_lines(operators: Iterable[ExportedOperator]) -> list[str]:
    """How many operators run sparse on ARM, and for the others why they do not."""
    names: dict[str, list[str]] = {}
    for operator in operators:
        names.setdefault(operator.reason, []).append(operator.name)
    if not names:
        return []
    total, sparse = sum(map(len, names.values())), len(names.pop("", []))
    lines = [f"{sparse} of {count_text(total, 'operator')} run sparse on ARM and in WebAssembly"]
    for reason, found in names.items():
        more = f" and {len(found) - MOST_NAMES} more" if len(found) > MOST_NAMES else ""
        lines.append(fill(f"  not {', '.join(found[:MOST_NAMES])}{more}: {reason}"))
    return lines


def _gain(kernel: ExportedKernel, batch: int) -> str:
    """The best form of a kernel at a batch size, and the factor of the fastest sparse one."""
    best, speedups = kernel.best.get(batch, ""), kernel.speedups.get(batch, {})
    if not speedups:
        return best
    form = best if best in speedups else max(speedups, key=lambda name: speedups[name])
    factor = f"{form} {speedups[form]:.2f}"
    return factor if form == best else f"{best} ({factor})"


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
