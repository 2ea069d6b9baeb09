"""`kt.export`: exports a trained model as files for inference."""

import contextlib
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_tickets._checks import check_flag, check_model
from keras_tickets._kernels.tracing import InputShape
from keras_tickets._masked_kernel import MaskedKernel
from keras_tickets._sparse_storage.kernel import SparseKernel
from keras_tickets._sparse_storage.positions import LARGEST_DENSE
from keras_tickets.export import advice, apart, placing
from keras_tickets.export.calibration import check_wanted, read_examples
from keras_tickets.export.formats import find_format
from keras_tickets.export.interface import Interface
from keras_tickets.export.measure import Trial
from keras_tickets.export.report import ExportReport, KernelReport, gzip_size
from keras_tickets.masks import masked_kernels
from keras_tickets.model import SparseModel, strip
from keras_tickets.model.stripping import without_masks


def export(
    sparse_model: keras.Model,
    path: str | os.PathLike,
    format: str = "tf_saved_model",
    packed: bool = False,
    quantize: str | None = None,
    *,
    calibration: Any = None,
    kernels: str = "packed",
    batch_size: int = 1,
    target: str | None = None,
    overwrite: bool = False,
    input_shape: InputShape = None,
) -> ExportReport:
    """Exports a model for inference, reads the files back and measures them.

    A `kt.SparseModel` is stripped first (`kt.strip`): zeros are baked into plain kernels, so the
    files load and serve without keras_tickets. A plain Keras model is exported as it is. The files
    are written beside `path` and moved there only when complete. Converters and runtimes run in a
    separate process, so that a crash there is only an error here.

    Kernels that are stored sparsely are never formed as a whole for `"litert"` without
    `calibration`, and for `"tf_saved_model"` if all of them have `engine="tensorflow"`.

    Args:
        sparse_model: A built `kt.SparseModel` or any other built `keras.Model`.
        path: What to create. A directory for `"tf_saved_model"`, which may exist if it is empty; a
            file for `"litert"` (usually `.tflite`) and `"onnx"` (`.onnx`); a file that ends in
            `.xml` for `"openvino"`, which puts the weights beside it, in `.bin`.
        format: `"tf_saved_model"`: a TensorFlow SavedModel with the endpoint `serve`, which takes
            the model's inputs, batch first. `"litert"`: a TensorFlow Lite file whose kernels are
            stored sparsely. `"onnx"` and `"openvino"` need `pip install keras-tickets[onnx]` or
            `[openvino]`.
        packed: For `"tf_saved_model"`: stores weights with enough zeros as their non-zero values
            and one bit per value. The SavedModel itself expands them, once, when it is loaded.
        quantize: For `"litert"`: `"int8"` stores kernels as int8, symmetric with one scale per
            output channel, so that zeros stay exactly 0. Arithmetic is float32, but for kernels
            in blocks of 1x16, which have one scale and are multiplied as int8.
        calibration: With `quantize="int8"`: data like those that the model will see, for a file
            that computes in int8 throughout, as accelerators of phones want it, where the operators
            allow it. Inputs and outputs keep their dtypes. A few hundred examples are enough:
            arrays with the examples first, in a list or a dict by input name if there are several
            inputs, or a `tf.data.Dataset` or another iterable of batches, of which tuples are
            inputs, targets and weights as in `fit`. Kernels then take a byte a weight, zeros
            included, but for blocks of 1x16 with `kernels="sparse"` or `"auto"`.
        kernels: For `"litert"`: how fully connected layers are stored. `"packed"`: all kernels are
            expanded before the first call, and are then as large and slow as dense ones, but for
            1x1 convolutions on ARM and in WebAssembly; the file depends on the model alone.
            `"sparse"`: the interpreter computes with the non-zero values as they are: blocks of 1x4
            where a kernel has them (`kt.structures.Block.for_litert()`), else single values; with
            `quantize="int8"` only blocks of 1x16 (`Block.for_litert(int8=True)`). `"auto"`:
            whichever form is fastest for each layer, measured on this machine.
        batch_size: The batch size for which `kernels="auto"` chooses. The file takes all.
        target: With `kernels="auto"`: `"arm64"` chooses by a table of thresholds instead of
            measuring, for a file that runs elsewhere.
        overwrite: Whether to replace what is at `path` if it is an export of the same format. It
            is replaced only when the new one is complete. Anything else is never replaced.
        input_shape: Shape of the input without the batch axis, or a structure of such shapes, for
            measuring a model that leaves sizes open. By default sizes are found by trying. The
            files accept all sizes in any case.

    Returns:
        A `kt.ExportReport` with sizes in bytes, the largest difference between the outputs of the
        model and of the exported files on random inputs, and latencies in milliseconds at batch
        sizes 1 and 32; for LiteRT also each kernel, its form and why it has it, and which operators
        of a convolutional network run sparse on ARM and in WebAssembly.

    Raises:
        ImportError: The format needs a package that is not installed.
        TypeError: `sparse_model` is not a Keras 3 model, or `calibration` are no data.
        ValueError: The model is not built or cannot be converted, `path` exists or cannot be
            written, an option is not among those allowed, `calibration` does not fit the inputs, no
            kernel can be as `kernels="sparse"` asks, or a kernel that is stored sparsely is too
            large for a format that needs it whole.

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
    report = kt.export(model, "model.tflite", format="litert", overwrite=True)
    ```
    """
    return export_and_measure(
        sparse_model,
        path,
        format,
        {
            "packed": packed,
            "quantize": quantize,
            "kernels": kernels,
            "batch_size": batch_size,
            "target": target,
        },
        calibration=calibration,
        overwrite=overwrite,
        input_shape=input_shape,
    )


def export_and_measure(
    model: keras.Model,
    path: str | os.PathLike,
    format: str,
    options: dict,
    *,
    calibration: Any = None,
    overwrite: bool = False,
    input_shape: InputShape = None,
    ram: bool = False,
) -> ExportReport:
    """The body of `export`; `ram` measures memory too, which takes longer."""
    chosen = find_format(format, **options)
    check_wanted(calibration, options, format, input_shape)
    check_model(model, "sparse_model")
    check_flag("overwrite", overwrite)
    target = placing.check_path(path, chosen, overwrite)
    apart.start(format)
    as_stored = calibration is None and chosen.takes_stored(model)
    with _plain(model, format, as_stored) as plain, placing.folder_beside(target) as room:
        folder = room / "new"
        folder.mkdir()
        written = folder / target.name
        with _explained(target, format):
            interface = Interface.of(plain)
            examples = [] if calibration is None else read_examples(calibration, interface)
            data = {"examples": examples} if examples else {}
            note = chosen.write(plain, interface, written, **data)
            trial = Trial(
                plain, interface, format, folder=room, input_shape=input_shape, examples=examples
            )
            encoded = chosen.encode(written, trial) if chosen.encode else KernelReport()
            measured = trial.measure(written, ram)
            files = placing.put_in_place(folder, target, room, chosen, overwrite)
    size, compressed = sum(file.stat().st_size for file in files), gzip_size(files)
    gzip_note = f"Compressed with gzip it takes {compressed / size:.0%} of its size."
    return ExportReport(
        files=files,
        bytes=size,
        gzip_bytes=compressed,
        max_abs_difference=measured.difference,
        latency_ms=measured.latency,
        note=" ".join(filter(None, [encoded.note, note, gzip_note, measured.note])),
        ram_bytes=measured.ram_bytes if encoded.ram_bytes is None else encoded.ram_bytes,
        packed_ram_bytes=encoded.packed_ram_bytes,
        kernels=encoded.kernels,
        speedup=encoded.speedup,
        on_arm=encoded.on_arm,
    )


@contextlib.contextmanager
def _plain(model: keras.Model, format: str, as_stored: bool) -> Iterator[keras.Model]:
    """The model without masks. Weights that stripping sets to 0 are restored afterwards.

    There are such weights only where a method trains them off the mask. Otherwise nothing of the
    model is changed, so that another thread may train it.

    Args:
        model: The model.
        format: What it is for.
        as_stored: Whether layers that store kernels sparsely stay as they are.
    """
    every = masked_kernels(model)
    records = [each for each in every if isinstance(each, MaskedKernel)]
    if not isinstance(model, SparseModel) and (not every or (as_stored and not records)):
        yield model
        return
    if not as_stored:
        _check_dense(every, format)
    kept = [
        (record.kernel, values)
        for record in records
        if np.count_nonzero((values := record.kernel.numpy())[~record.mask.numpy()])
    ]
    try:
        if any(record.basis for record in records):
            yield strip(model)
        else:
            yield without_masks(model) if as_stored else strip(model, in_place=True)
    finally:
        for variable, values in kept:
            variable.assign(values)


def _check_dense(records: Sequence[MaskedKernel | SparseKernel], format: str) -> None:
    """Checks that no kernel is too large to be formed."""
    large = [each for each in records if each.size > LARGEST_DENSE]
    if large:
        raise ValueError(
            "`format` must be 'litert', without `calibration`, or 'tf_saved_model', with "
            f'engine="tensorflow" in all layers and without `packed`: others need dense kernels, '
            f"and {large[0].name!r} of shape {large[0].shape} is too large for one. "
            f"Received: format={format!r}"
        )


@contextlib.contextmanager
def _explained(path: pathlib.Path, format: str) -> Iterator[None]:
    """Says which argument an error is about: `path` if it cannot be written, or the model."""
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        raise ValueError(
            f"`path` cannot be written: {error}. Received: path={str(path)!r}"
        ) from error
    except apart.Failure as error:
        text = " ".join(str(error).split())
        known = "" if "What helps:" in text else advice.advice_for(text)
        raise ValueError(f"{_refusal(format)}: {text}{known}") from error
    except Exception as error:
        if isinstance(error, TypeError | ValueError) and str(error).startswith("`"):
            raise
        raise ValueError(f"{_refusal(format)}: {type(error).__name__}: {error}") from error


def _refusal(format: str) -> str:
    return f"`sparse_model` cannot be exported with format={format!r}"
