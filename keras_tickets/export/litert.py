"""A Keras model as a LiteRT (TensorFlow Lite) file with sparse weights."""

import pathlib

import keras

from keras_tickets.export import litert_weights
from keras_tickets.export.converted import convert
from keras_tickets.export.interface import Interface

IDENTIFIER = b"TFL3"  # at the fifth byte of a file
SPARSE_NOTE = (
    "{sparse} of {all} kernels lie in the file as their non-zero values and the columns these are "
    "in. The interpreter expands them before the first call, so this model is neither smaller in "
    "memory nor faster than the dense one."
)
DENSE_NOTE = (
    "None of the {all} kernels in the main graph has enough zeros to take less as values and "
    "columns, so zeros make the model neither smaller nor faster."
)
WIDE_NOTE = "Rows longer than 256 need 2 bytes a column index: {names}."
INT8_NOTE = (
    "{int8} kernels are int8, one scale an output channel, zeros exact; they are computed with in "
    "float32, so the file is smaller, the model not faster."
)


def write(
    model: keras.Model, interface: Interface, path: pathlib.Path, *, quantize: str | None = None
) -> str:
    """Writes a plain Keras model to the file `path`; returns sentences on what that saves."""
    remark = convert("litert", model, interface, path)
    content, kernels = litert_weights.encode(path.read_bytes(), int8=quantize == "int8")
    path.write_bytes(content)
    return f"{_note(kernels)} {remark}".rstrip()


def _note(kernels: list[litert_weights.StoredKernel]) -> str:
    sparse = [kernel for kernel in kernels if kernel.index_bytes]
    wide = [kernel.name for kernel in sparse if kernel.index_bytes > 1]
    int8 = [kernel for kernel in kernels if kernel.int8]
    sentences = [
        (SPARSE_NOTE if sparse else DENSE_NOTE).format(sparse=len(sparse), all=len(kernels))
    ]
    if wide:
        sentences.append(WIDE_NOTE.format(names=", ".join(wide)))
    if int8:
        sentences.append(INT8_NOTE.format(int8=len(int8)))
    return " ".join(sentences)


def recognizes(path: pathlib.Path) -> bool:
    """Whether a file is a LiteRT model."""
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return file.read(8)[4:] == IDENTIFIER
