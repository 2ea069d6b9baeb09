"""A Keras model as a LiteRT (TensorFlow Lite) file with sparse kernels.

The converter never sees kernels that are stored sparsely: for it they are inputs of the model,
which then become constants of the file. So no array of their size is formed.
"""

import pathlib
from collections.abc import Sequence

import keras
import numpy as np

from keras_tickets._sparse_storage.kernel import SparseKernel
from keras_tickets.export.converted import convert
from keras_tickets.export.interface import Interface, unique_names
from keras_tickets.export.litert_file import IDENTIFIER
from keras_tickets.export.litert_notes import note_on_calibration
from keras_tickets.export.litert_sparsity import NonZeros
from keras_tickets.export.litert_weights import fill_in
from keras_tickets.masks import masked_kernels


def write(
    model: keras.Model,
    interface: Interface,
    path: pathlib.Path,
    examples: Sequence[np.ndarray] = (),
) -> str:
    """Converts a plain Keras model to the file `path`, with dense kernels; returns remarks.

    With `examples`, an array for each input, the file computes in int8 where it can.
    """
    stored = [each for each in masked_kernels(model) if isinstance(each, SparseKernel)]
    own = [spec.name for spec in interface.inputs]
    names = unique_names([*own, *(each.name for each in stored)], str.lower)[len(own) :]
    kernels = dict(zip(names, stored, strict=True))
    remarks = convert("litert", model, interface, path, examples, kernels)
    if kernels:
        values = {name: (each.name, _nonzeros(each)) for name, each in kernels.items()}
        path.write_bytes(fill_in(path.read_bytes(), values))
    if examples:
        remarks = f"{note_on_calibration(path.read_bytes(), len(examples[0]))} {remarks}"
    return remarks


def _nonzeros(kernel: SparseKernel) -> NonZeros:
    """A kernel as LiteRT has it: of shape (units, inputs), in float32."""
    inputs, units = kernel.shape
    values = kernel.kernel.numpy().astype(np.float32)
    rows, columns = np.divmod(kernel.indices.numpy(), units)
    positions = columns * inputs + rows
    order = np.argsort(positions)
    order = order[values[order] != 0]
    return NonZeros((units, inputs), positions[order], values[order])


def recognizes(path: pathlib.Path) -> bool:
    """Whether a file is a LiteRT model."""
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return file.read(8)[4:] == IDENTIFIER
