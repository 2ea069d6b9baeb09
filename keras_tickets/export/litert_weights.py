"""Sparse and int8 kernels in LiteRT files.

A kernel is stored in one of these forms:

* "dense": all values.
* "packed": each row as its non-zero values and their columns, and an operator that expands them
  before the first call. This is the encoding of the converter's own sparsity option, which is not
  used: together with int8 it writes files that the interpreter's default delegate refuses, and one
  cannot choose which kernels it encodes.
* "csr", "1x4" (float32) and "1x16" (int8): single values or blocks of a row, with which
  FULLY_CONNECTED of version 8 computes as they are.

Kernels that the converter has made int8, in files that compute in int8, are never packed: the
interpreter's default delegate refuses FULLY_CONNECTED behind the operator that expands them.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

from keras_tickets.export.litert_file import LitertFile
from keras_tickets.export.litert_sparsity import NonZeros, SparseRows

OPERATOR_BYTES = 512  # about the size of the expanding operator and its tensor
WIDTHS = {"csr": 1, "1x4": 4, "1x16": 16}
SPARSE_VERSION = 8
# The kernel for 1x16 blocks counts the blocks of a row, and their columns, in one byte, unchecked.
MOST_COLUMNS, MOST_BLOCKS = 256, 255


@dataclasses.dataclass(frozen=True)
class StoredKernel:
    """A kernel in a LiteRT file.

    Attributes:
        index: The index of its tensor.
        name: The name of its layer or of its operator.
        form: "dense", "packed", "csr", "1x4" or "1x16".
        bytes: Bytes of its values and indices.
        index_bytes: Bytes of a column index; 0 if the kernel is stored densely.
        int8: Whether its values are int8.
        integer: Whether it is multiplied with int8 inputs in an operator that computes in int8.
    """

    index: int
    name: str
    form: str
    bytes: int
    index_bytes: int
    int8: bool
    integer: bool = False


def encode(
    content: bytes, *, int8: bool, forms: Mapping[int, str] | None = None
) -> tuple[bytes, list[StoredKernel]]:
    """Stores the kernels of a dense float32 LiteRT model in fewer bytes.

    Args:
        content: The file.
        int8: Whether kernels become int8: symmetric, so that zeros stay exact, with one scale per
            output channel, or per kernel in the form "1x16".
        forms: A form of `sparse_forms` by the index of the kernel's tensor. Other kernels are
            packed, or dense where that takes fewer bytes.

    Returns:
        The new file and its kernels.
    """
    file, forms = LitertFile(content), forms or {}
    kernels = [
        _compute_sparse(file, index, forms[index])
        if index in forms
        else _pack(file, index, axis, int8)
        for index, axis in file.kernels().items()
    ]
    return file.pack(), kernels


def fill_in(content: bytes, kernels: Mapping[str, tuple[str, NonZeros]]) -> bytes:
    """A file in which inputs of the signature become kernels that are stored sparsely.

    Args:
        content: The file.
        kernels: By the name of the input that each replaces: a kernel's path, and the kernel as a
            float32 matrix of shape (units, inputs).

    Raises:
        ValueError: An input is more than the kernel of one or more FULLY_CONNECTED.
    """
    file = LitertFile(content)
    for name, (path, values) in kernels.items():
        index = file.fix_input(name)
        if index is None:
            continue
        is_kernel = all(operator.inputs[1] == index for operator in file.readers(index))
        if file.readers_names(index) != ["FULLY_CONNECTED"] or not is_kernel:
            raise ValueError(f"kernel {path!r} is read by {file.readers_names(index)}")
        tensor, rows = file.tensors[index], SparseRows.of(values)
        tensor.name, tensor.sparsity = path.encode(), rows.parameters
        file.store(tensor, rows.values)
    return file.pack()


def encode_alone(content: bytes, index: int, form: str, signature: str) -> bytes:
    """A file of one FULLY_CONNECTED alone, with a kernel in a form of `sparse_forms` or "dense".

    Dense ones that are stored sparsely are expanded by the interpreter.
    """
    file = LitertFile(content)
    (operator, *_) = file.readers(index)
    if form != "dense":
        _compute_sparse(file, index, form)
    elif isinstance(file.values(index), NonZeros):
        _pack(file, index, axis=0, int8=False)
    file.keep_only(operator, signature)
    return file.pack()


def expanded_bytes(content: bytes, index: int) -> int:
    """What a kernel takes with its zeros, if it is stored without them; otherwise 0."""
    values = LitertFile(content).values(index)
    return values.nbytes if isinstance(values, NonZeros) else 0


def first_input(content: bytes, index: int) -> int:
    """The index of what a FULLY_CONNECTED multiplies with a kernel."""
    return int(LitertFile(content).readers(index)[0].inputs[0])


def is_integer(content: bytes, index: int) -> bool:
    """Whether a kernel is multiplied with int8 inputs."""
    return LitertFile(content).values(index).dtype == np.int8


def sparse_forms(file: LitertFile, index: int, int8: bool) -> tuple[list[str], str]:
    """The forms in which a kernel can be computed with, and why there are no more.

    Only forms that take no more bytes than the packed one are named, the smallest one last.
    """
    values = file.values(index)
    assert values is not None
    operators = file.readers_names(index)
    if operators != ["FULLY_CONNECTED"] or len(values.shape) != 2:
        return [], f"{' and '.join(operators)} cannot compute with sparse kernels"
    if any(operator.inputs[1] != index for operator in file.readers(index)):
        return [], "it is not only a kernel"
    int8 = int8 or values.dtype == np.int8
    packed = _packed(_as_int8(values, 0) if int8 else values)
    if packed is None:
        return [], "it is too small or has too few zeros"
    if not packed.values.size:
        return [], "all its weights are zeros"
    width, columns = (16 if int8 else 4), values.shape[1]
    forms = [] if int8 else ["csr"]
    if columns % width:
        return forms, f"its {columns} inputs are no multiple of {width}"
    if int8 and columns > MOST_COLUMNS * width:
        return [], f"of int8 kernels only those of at most {MOST_COLUMNS * width} inputs can be"
    blocks = SparseRows.of(_as_int8(values) if int8 else values, width)
    if blocks.bytes > packed.bytes or (int8 and blocks.longest > MOST_BLOCKS):
        return forms, f"its zeros do not come in blocks of 1x{width}"
    return [*forms, f"1x{width}"], ""


def zeros(file: LitertFile, index: int, form: str) -> float:
    """The share of values or blocks of a kernel that a form leaves out."""
    values = file.values(index)
    assert values is not None
    return 1 - SparseRows.of(values, WIDTHS[form]).values.size / values.size


def _packed(values: np.ndarray | NonZeros) -> SparseRows | None:
    """The rows of a kernel, where they take fewer bytes than all its values."""
    rows = SparseRows.of(values)
    return rows if rows.bytes + OPERATOR_BYTES < values.nbytes else None


def _compute_sparse(file: LitertFile, index: int, form: str) -> StoredKernel:
    """Stores one kernel so that its operators compute with it as it is."""
    tensor, values = file.tensors[index], file.values(index)
    int8, integer = form == "1x16", values.dtype == np.int8
    if int8 and not integer:
        tensor.type = schema.TensorType.INT8
        tensor.quantization, values = _quantize(values)
    rows = SparseRows.of(values, WIDTHS[form])
    tensor.sparsity = rows.parameters
    file.store(tensor, rows.values)
    for operator in file.readers(index):
        file.set_version(operator, SPARSE_VERSION)
    name = file.layer_of(index)
    return StoredKernel(index, name, form, rows.bytes, rows.index_bytes, int8, integer)


def _pack(file: LitertFile, index: int, axis: int, int8: bool) -> StoredKernel:
    """Stores one kernel in as few bytes as possible, and expands it before it is used."""
    tensor, values = file.tensors[index], file.values(index)
    name = file.layer_of(index)
    if values.dtype == np.int8:
        return StoredKernel(index, name, "dense", values.nbytes, 0, True, integer=True)
    used, tensor.sparsity = index, None
    int8 = int8 and values.nbytes - values.size > OPERATOR_BYTES
    if int8:
        used = file.add_tensor(tensor, f"{name}/float32")
        tensor.type = schema.TensorType.INT8
        tensor.quantization, values = _quantize(values, axis)
    rows = _packed(values)
    if rows:
        expanded = file.add_tensor(tensor, f"{name}/expanded")
        file.run_first(schema.BuiltinOperator.DENSIFY, 1, index, expanded)
        tensor.sparsity, values = rows.parameters, rows.values
        tensor.quantization = None  # the expanded tensor has it
    else:
        expanded = index
        if isinstance(values, NonZeros):  # takes more bytes than the whole kernel
            values = values.whole()
    if int8:
        if expanded != index:
            _keep(file, expanded)
        file.run_first(schema.BuiltinOperator.DEQUANTIZE, 5, expanded, used)
    else:
        used = expanded
    file.store(tensor, values)
    file.replace_input(index, used)
    form, size, index_bytes = (
        ("packed", rows.bytes, rows.index_bytes) if rows else ("dense", values.nbytes, 0)
    )
    return StoredKernel(index, name, form, size, index_bytes, int8)


def _keep(file: LitertFile, expanded: int) -> None:
    """Keeps an expanded kernel by an operator that reads it at no cost.

    The XNNPACK delegate drops an expansion that only a DEQUANTIZE reads, even if it does not take
    over the reader of the DEQUANTIZE. It never takes over RANK.
    """
    file.run_first(schema.BuiltinOperator.RANK, 1, expanded, file.add_number("rank"))


def _as_int8(values: np.ndarray | NonZeros, axis: int | None = None) -> np.ndarray | NonZeros:
    return values if values.dtype == np.int8 else _quantize(values, axis)[1]


def _quantize(values: np.ndarray | NonZeros, axis: int | None = None):
    """Parameters and int8 values, with one scale for each index of an axis, or one for all."""
    if isinstance(values, NonZeros):
        scale, rounded = values.quantized(per_row=axis is not None)
    else:
        others = None if axis is None else tuple({*range(values.ndim)} - {axis % values.ndim})
        scale = np.abs(values).max(axis=others, keepdims=True) / np.float32(127)
        scale[scale == 0] = 1
        rounded = np.rint(values / scale).astype(np.int8)
    parameters = schema.QuantizationParametersT()
    parameters.scale = scale.reshape(-1)
    parameters.zeroPoint = np.zeros(scale.size, np.int64)
    parameters.quantizedDimension = 0 if axis is None else axis % len(values.shape)
    return parameters, rounded
