"""`kt.compare`: a dense and a sparse model side by side."""

import dataclasses
import pathlib
import tempfile
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_tickets._checks import check_flag, check_model, check_some_of
from keras_tickets._tables import fill, render_table
from keras_tickets.export.api import export_and_measure
from keras_tickets.export.formats import DEFAULTS, FORMATS
from keras_tickets.export.report import ExportReport
from keras_tickets.masks import get_masks

__all__ = ["Comparison", "ComparisonRow", "compare"]


@dataclasses.dataclass(frozen=True)
class ComparisonRow:
    """One thing that was measured of both models: a row of `kt.Comparison`.

    Attributes:
        name: What it is.
        dense: Its value for the dense model; `None` where there is none.
        sparse: Its value for the sparse model; `None` where there is none.
        digits: Number of decimal places to print.

    Example:

    ```python
    from keras_tickets.compare import ComparisonRow

    assert ComparisonRow("litert, bytes", 2000, 500).ratio == 0.25
    ```
    """

    name: str
    dense: float | None
    sparse: float | None
    digits: int = 0

    @property
    def ratio(self) -> float | None:
        """Sparse over dense; `None` if a value is missing or the dense one is 0."""
        if self.dense is None or self.sparse is None or not self.dense:
            return None
        return self.sparse / self.dense


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A dense and a sparse model side by side. Prints as a table.

    Attributes:
        rows: One `ComparisonRow` for each thing measured.
        max_abs_difference: The largest absolute difference of the two models' outputs on the data.
        mean_abs_difference: The mean absolute difference.
        agreement: Share of the data for which the same output is largest in both models; `None`
            unless the models have one output with several classes.
        reports: `{format: (dense, sparse)}`, the `kt.ExportReport`s of the two models.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_tickets as kt

    dense = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    data = np.ones((6, 8), "float32")
    compared = kt.compare(dense, kt.sparsify(dense, 0.5, mask="magnitude"), data, formats=())
    assert compared["nonzero weights"].dense == 32 and compared["nonzero weights"].sparse == 16
    ```
    """

    rows: list[ComparisonRow]
    max_abs_difference: float
    mean_abs_difference: float
    agreement: float | None
    reports: dict[str, tuple[ExportReport, ExportReport]]

    def __getitem__(self, name: str) -> ComparisonRow:
        """The row with this name.

        Args:
            name: Name of the row.

        Raises:
            KeyError: There is no such row.
        """
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(name)

    def __str__(self) -> str:
        table = render_table(
            ("", "dense", "sparse", "sparse / dense"),
            [
                (
                    row.name,
                    _number(row.dense, row.digits),
                    _number(row.sparse, row.digits),
                    _number(row.ratio, 3),
                )
                for row in self.rows
            ],
        )
        outputs = (
            f"outputs differ by at most {self.max_abs_difference:.3g}, "
            f"on average {self.mean_abs_difference:.3g}"
        )
        if self.agreement is not None:
            outputs += f"; same class for {self.agreement:.2%}"
        return f"{table}\n{fill(outputs)}"

    __repr__ = __str__


def compare(
    dense: keras.Model,
    sparse: keras.Model,
    data: Any,
    *,
    formats: Sequence[str] = ("tf_saved_model", "litert"),
    packed: bool = True,
    quantize: str | None = None,
    kernels: str = "auto",
) -> Comparison:
    """Compares a dense and a sparse model: metrics, outputs, size of files, RAM and latency.

    Args:
        dense: A built Keras model.
        sparse: A `kt.SparseModel`, or any other built model with the same inputs and outputs.
        data: Data to compare them on: a batched `tf.data.Dataset` of inputs, or of inputs and
            targets; a tuple `(inputs, targets)` of arrays; or an array of inputs. With targets,
            models that are compiled are evaluated too.
        formats: Formats of `kt.export` to compare files in; `()` for none. Each takes seconds.
        packed: As in `kt.export`, for the SavedModel.
        quantize: As in `kt.export`, for the LiteRT file.
        kernels: As in `kt.export`, for the LiteRT file.

    Returns:
        A `kt.Comparison`. Print it for a table. RAM is measured on Linux only: it is the peak
        growth of a process that reads the file and runs one sample.

    Raises:
        ImportError: A format needs a package that is not installed.
        TypeError: `dense` or `sparse` is not a Keras 3 model.
        ValueError: One of them is not built, does not take `data` or cannot be exported; their
            outputs have different shapes; a format is unknown.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_tickets as kt

    dense = keras.Sequential([keras.Input((64,)), keras.layers.Dense(100), keras.layers.Dense(10)])
    sparse = kt.sparsify(dense, 0.9, mask="magnitude")
    print(kt.compare(dense, sparse, np.ones((20, 64), "float32"), formats=["litert"]))
    ```
    """
    check_model(dense, "dense")
    check_model(sparse, "sparse")
    formats = check_some_of("formats", formats, tuple(FORMATS))
    check_flag("packed", packed)
    inputs, targets = _split(data)
    outputs = _outputs((dense, sparse), inputs)
    shapes = [[value.shape for value in values] for values in outputs]
    if shapes[0] != shapes[1]:
        raise ValueError(
            "`dense` and `sparse` must have outputs of the same shapes. "
            f"Received: outputs of shapes {shapes[0]} and {shapes[1]}"
        )
    rows = _metric_rows(dense, sparse, inputs, targets)
    rows.append(ComparisonRow("nonzero weights", *map(_nonzeros, (dense, sparse))))
    reports = {}
    for format in formats:
        wanted = {"packed": packed, "quantize": quantize, "kernels": kernels}
        allowed = FORMATS[format].options
        given = {name: value for name, value in wanted.items() if name in allowed}
        options = {**DEFAULTS, **given}
        reports[format] = _export(dense, format, options), _export(sparse, format, options)
        rows += _file_rows(format, *reports[format])
    differences = [np.abs(a.astype("float64") - b) for a, b in zip(*outputs, strict=True)]
    flat = np.concatenate([value.reshape(-1) for value in differences])
    return Comparison(rows, float(flat.max()), float(flat.mean()), _agreement(*outputs), reports)


def _split(data) -> tuple[Any, Any]:
    """Inputs and targets. A data set that holds both is returned as both."""
    if isinstance(data, tf.data.Dataset):
        labeled = isinstance(data.element_spec, tuple)
        return data, data if labeled else None
    return data if isinstance(data, tuple) and len(data) == 2 else (data, None)


def _outputs(models, inputs) -> list[list[np.ndarray]]:
    """The flat outputs of each model, on the same inputs in the same order."""
    try:
        if isinstance(inputs, tf.data.Dataset):
            return _outputs_on_batches(models, inputs)
        if not len(keras.tree.flatten(inputs)[0]):
            raise ValueError("it is empty")
        return [_flat(model.predict(inputs, verbose=0)) for model in models]
    except Exception as error:
        reason = next((line for line in str(error).splitlines() if line.strip()), "")
        raise ValueError(
            f"`data` must be inputs that both models take: {type(error).__name__}: {reason}"
        ) from error


def _outputs_on_batches(models, data) -> list[list[np.ndarray]]:
    """As `_outputs`; the data set is read once, since it may shuffle anew each time."""
    if data.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise ValueError("it has no end; take some of its batches, `data.take(n)`")
    batches = [
        [_flat(model.predict_on_batch(x)) for model in models]
        for x in data.map(lambda x, *targets: x)
    ]
    if not batches:
        raise ValueError("it is empty")
    return [
        [np.concatenate(parts) for parts in zip(*of_model, strict=True)]
        for of_model in zip(*batches, strict=True)
    ]


def _flat(outputs) -> list[np.ndarray]:
    return [np.asarray(value) for value in keras.tree.flatten(outputs)]


def _metric_rows(dense, sparse, inputs, targets) -> list[ComparisonRow]:
    """Metrics of the models that are compiled, if there are targets."""
    arguments = (inputs,) if targets is inputs else (inputs, targets)

    def metrics(model):
        if targets is None or not model.compiled:
            return {}
        return model.evaluate(*arguments, verbose=0, return_dict=True)

    of_dense, of_sparse = metrics(dense), metrics(sparse)
    names = dict.fromkeys([*of_dense, *of_sparse])
    return [
        ComparisonRow(name, of_dense.get(name), of_sparse.get(name), digits=4) for name in names
    ]


def _nonzeros(model: keras.Model) -> int:
    """Number of weights that the masks leave or, in a model without masks, that are not 0."""
    masks = get_masks(model)
    if masks:
        return sum(int(np.count_nonzero(mask)) for mask in masks.values())
    return sum(int(np.count_nonzero(v.numpy())) for v in model.weights if len(v.shape) > 1)


def _export(model: keras.Model, format: str, options: dict) -> ExportReport:
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / f"model{FORMATS[format].suffix}"
        return export_and_measure(model, path, format, options, ram=True)


def _file_rows(format: str, dense: ExportReport, sparse: ExportReport) -> list[ComparisonRow]:
    rows = [
        ComparisonRow(f"{format}, bytes", dense.bytes, sparse.bytes),
        ComparisonRow(f"{format}, gzip bytes", dense.gzip_bytes, sparse.gzip_bytes),
        ComparisonRow(f"{format}, RAM bytes", dense.ram_bytes, sparse.ram_bytes),
    ]
    for batch in dense.latency_ms:
        if batch in sparse.latency_ms:
            times = dense.latency_ms[batch].median, sparse.latency_ms[batch].median
            rows.append(ComparisonRow(f"{format}, ms at batch {batch}", *times, digits=3))
    return rows


def _agreement(dense: list[np.ndarray], sparse: list[np.ndarray]) -> float | None:
    if len(dense) != 1 or dense[0].ndim < 2 or dense[0].shape[-1] < 2:
        return None
    return float(np.mean(dense[0].argmax(-1) == sparse[0].argmax(-1)))


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:,.{digits}f}"
