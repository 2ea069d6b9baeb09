"""`kt.export`: a trained model as files for inference."""

import contextlib
import os
import pathlib

import keras
import tensorflow as tf

from keras_tickets import _keras_compat
from keras_tickets._files.atomic import room_beside
from keras_tickets.export.formats import Format, find_format
from keras_tickets.export.measure import measure
from keras_tickets.export.report import ExportReport, gzip_size
from keras_tickets.masks import masked_kernels
from keras_tickets.model import SparseModel, strip


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
        path: What to create; nothing is ever overwritten. A directory for `"tf_saved_model"`, which
            may exist if it is empty; a file for `"litert"` (usually `.tflite`) and `"onnx"`
            (`.onnx`); a file that ends in `.xml` for `"openvino"`, which puts the weights beside
            it, in `.bin`.
        format: `"tf_saved_model"`: a TensorFlow SavedModel with the endpoint `serve`, which takes
            the model's inputs, batch first. `"litert"`: a TensorFlow Lite file whose kernels are
            stored sparsely. `"onnx"` and `"openvino"`: as Keras exports them; they need
            `pip install keras-tickets[onnx]` or `[openvino]`.
        packed: For `"tf_saved_model"`: stores weights with enough zeros as their non-zero values
            and one bit a value. The SavedModel itself expands them, once, when it is loaded.
        quantize: For `"litert"`: `"int8"` stores kernels as int8, symmetric with one scale an
            output channel, so that zeros stay exactly 0. They are computed with in float32.

    Returns:
        A `kt.ExportReport` with sizes in bytes, the largest difference between the outputs of the
        model and of the exported files on random inputs (dimensions that the model leaves open are
        32 there), and latencies in milliseconds at batch sizes 1 and 32.

    Raises:
        ImportError: The format needs a package that is not installed.
        TypeError: `sparse_model` is no Keras 3 model.
        ValueError: The model is not built or cannot be converted, `path` exists or cannot be
            written, or an option is not among those allowed.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    model = kt.sparsify(
        keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)]), 0.5
    )
    report = kt.export(model, "saved_model", packed=True)
    print(report.bytes, report.gzip_bytes, report.latency_ms[1].median)
    report = kt.export(model, "model.tflite", format="litert", quantize="int8")
    ```
    """
    chosen = find_format(format, packed, quantize)
    _check_model(sparse_model)
    target = _check_path(path, chosen)
    with _plain(sparse_model) as model, _folder_beside(target, path) as aside:
        written = aside / target.name
        with _explained(path, format, unwritable=(OSError, tf.errors.OpError)):
            note = chosen.write(model, written)
        with _explained(path, format, unwritable=OSError):
            signature = _keras_compat.input_signature(model)
            run = chosen.load(written, signature)
            difference, latency = measure(run, sparse_model, signature)
            files = _move(aside, target)
    size, compressed = sum(file.stat().st_size for file in files), gzip_size(files)
    note += f" Compressed with gzip it takes {compressed / size:.0%} of its size."
    return ExportReport(files, size, compressed, difference, latency, note)


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


def _check_path(path: str | os.PathLike, format: Format) -> pathlib.Path:
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"path must be a str or os.PathLike, not {path!r}.")
    target = pathlib.Path(path)
    if not target.name:
        raise ValueError(f"path={str(path)!r} must name what to create.")
    if format.suffix and target.suffix != format.suffix:
        raise ValueError(f"path={str(path)!r} must end in {format.suffix!r} for this format.")
    if format.directory:
        free = not os.path.lexists(target) or target.is_dir() and not any(target.iterdir())
        what = "exists already and is not an empty directory"
    else:
        files = [target, *(target.with_suffix(suffix) for suffix in format.beside)]
        taken = [str(file) for file in files if os.path.lexists(file)]
        free, what = not taken, f"cannot be written: {taken} exist already"
    if not free:
        raise ValueError(
            f"path={str(path)!r} {what}; choose another path or remove it: nothing is overwritten."
        )
    return target


@contextlib.contextmanager
def _plain(model: keras.Model):
    """The model without masks; the kernels of a sparse one are put back afterwards."""
    if not isinstance(model, SparseModel):
        yield model
        return
    kept = [(record.kernel, record.kernel.numpy()) for record in masked_kernels(model)]
    try:
        yield strip(model, in_place=True)
    finally:
        for kernel, values in kept:
            kernel.assign(values)


@contextlib.contextmanager
def _folder_beside(target: pathlib.Path, path: str | os.PathLike):
    """A new folder on the same disk, gone afterwards."""
    with contextlib.ExitStack() as stack:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            folder = stack.enter_context(room_beside(target))
        except OSError as error:
            raise ValueError(f"path={str(path)!r} cannot be written: {error}") from error
        yield folder


@contextlib.contextmanager
def _explained(path: str | os.PathLike, format: str, unwritable):
    """Says which argument an error is about: `path` for the `unwritable` ones, or the model."""
    try:
        yield
    except unwritable as error:
        raise ValueError(f"path={str(path)!r} cannot be written: {error}") from error
    except Exception as error:
        raise ValueError(
            f"sparse_model cannot be exported with format={format!r}: "
            f"{type(error).__name__}: {error}"
        ) from error


def _move(aside: pathlib.Path, target: pathlib.Path) -> tuple[pathlib.Path, ...]:
    """Puts what was written where it belongs, `target` last."""
    written = sorted(aside.iterdir(), key=lambda entry: entry.name == target.name)
    moved = []
    for entry in written:
        os.rename(entry, target.parent / entry.name)
        moved.append(target.parent / entry.name)
    return tuple(sorted(file for top in moved for file in [top, *top.rglob("*")] if file.is_file()))
