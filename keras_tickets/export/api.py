"""`kt.export`: a trained model as files for inference."""

import os
import pathlib
import tempfile

import keras

from keras_tickets.export import saved_model
from keras_tickets.export.report import ExportReport, gzip_size
from keras_tickets.masks import masked_kernels
from keras_tickets.model import SparseModel, strip

FORMATS = ("tf_saved_model",)
NOTE = (
    "A SavedModel stores every zero like any other weight, so pruning alone makes it neither "
    "smaller nor faster than the dense model's; compressed with gzip it takes {share:.0%} of its "
    "size."
)


def export(
    sparse_model: keras.Model,
    path: str | os.PathLike,
    format: str = "tf_saved_model",
    packed: bool = False,
    quantize: str | None = None,
) -> ExportReport:
    """Exports a model for inference, reads the files back and measures them.

    A `kt.SparseModel` is stripped first (`kt.strip`): zeros are baked into plain kernels, so what
    is written loads and serves where keras_tickets is not installed. A plain Keras model is
    exported as it is. The files are written beside `path` and moved there only when complete.

    Args:
        sparse_model: A built `kt.SparseModel` or any other built `keras.Model`.
        path: Directory to create. It may exist if it is empty; nothing is ever overwritten.
        format: `"tf_saved_model"`, the only one so far: a TensorFlow SavedModel with the endpoint
            `serve`, which takes the model's inputs, batch first.
        packed: Storing only the non-zero weights; not available in a SavedModel, so `False`.
        quantize: Storing weights with fewer bits; not available in a SavedModel, so `None`.

    Returns:
        A `kt.ExportReport` with sizes in bytes, the largest difference between the outputs of the
        model and of the exported files on random inputs (dimensions that the model leaves open are
        32 there), and latencies in milliseconds at batch sizes 1 and 32.

    Raises:
        TypeError: `sparse_model` is no Keras 3 model.
        ValueError: The model is not built, `path` exists and is not an empty directory or cannot be
            written, or an option is not among those allowed.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    model = kt.sparsify(
        keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)]), 0.5
    )
    report = kt.export(model, "saved_model")
    print(report.bytes, report.gzip_bytes, report.latency_ms[1].median)
    ```
    """
    _check_options(format, packed, quantize)
    _check_model(sparse_model)
    target = _check_path(path)
    model, kept = sparse_model, []
    if isinstance(model, SparseModel):
        kept = [(r.kernel, r.kernel.numpy()) for r in masked_kernels(model)]
        model = strip(model, in_place=True)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as aside:
            written = pathlib.Path(aside) / target.name
            saved_model.write(model, written)
            difference, latency = saved_model.measure(written, sparse_model)
            os.rename(written, target)
    except OSError as error:
        raise ValueError(f"path={str(path)!r} cannot be written: {error}") from error
    finally:
        for kernel, values in kept:
            kernel.assign(values)
    files = tuple(sorted(file for file in target.rglob("*") if file.is_file()))
    size, compressed = sum(file.stat().st_size for file in files), gzip_size(files)
    note = NOTE.format(share=compressed / size)
    return ExportReport(files, size, compressed, difference, latency, note)


def _check_options(format: str, packed: bool, quantize: str | None) -> None:
    if format not in FORMATS:
        allowed = ", ".join(map(repr, FORMATS))
        raise ValueError(f"format={format!r} is not known; allowed: {allowed}.")
    if packed is not False:
        raise ValueError(f"packed={packed!r} is not available with format={format!r}; use False.")
    if quantize is not None:
        raise ValueError(
            f"quantize={quantize!r} is not available with format={format!r}; use None."
        )


def _check_model(model: keras.Model) -> None:
    if not isinstance(model, keras.Model):
        raise TypeError(
            f"sparse_model must be a kt.SparseModel or another Keras 3 model, not "
            f"{type(model).__module__}.{type(model).__name__}."
        )
    if not model.built:
        raise ValueError(
            f"sparse_model={model.name!r} is not built: call it on a batch of inputs first."
        )


def _check_path(path: str | os.PathLike) -> pathlib.Path:
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"path must be a str or os.PathLike, not {path!r}.")
    target = pathlib.Path(path)
    if not target.name:
        raise ValueError(f"path={str(path)!r} must name a directory to create.")
    if os.path.lexists(target) and not (target.is_dir() and not any(target.iterdir())):
        raise ValueError(
            f"path={str(path)!r} exists already and is not an empty directory; choose another path "
            "or remove it: nothing is overwritten."
        )
    return target
