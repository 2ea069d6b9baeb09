"""Sparse and int8 weights in LiteRT files.

The encoding is that of the converter's own sparsity option (each row of a kernel as its non-zero
values and their columns, then an operator that expands them). The option itself is not used:
together with int8 it writes files that the interpreter's default delegate refuses, and one cannot
choose which kernels it encodes.

Source: the TensorFlow Lite schema, `SparsityParameters`.
"""

import copy
import dataclasses

import flatbuffers
import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

OPERATOR_BYTES = 512  # about the size of the expanding operator and its tensor
ALIGNMENT = 16
# Operators with a kernel: which input it is, and which of its axes are the output channels.
KERNELS = {
    schema.BuiltinOperator.BATCH_MATMUL: (1, -1),
    schema.BuiltinOperator.CONV_2D: (1, 0),
    schema.BuiltinOperator.CONV_3D: (1, -1),
    schema.BuiltinOperator.DEPTHWISE_CONV_2D: (1, -1),
    schema.BuiltinOperator.FULLY_CONNECTED: (1, 0),
    schema.BuiltinOperator.GATHER: (0, -1),
    schema.BuiltinOperator.TRANSPOSE_CONV: (1, 0),
}
INDEX_VECTORS = (
    (np.uint8, schema.Uint8VectorT, schema.SparseIndexVector.Uint8Vector),
    (np.uint16, schema.Uint16VectorT, schema.SparseIndexVector.Uint16Vector),
    (np.int32, schema.Int32VectorT, schema.SparseIndexVector.Int32Vector),
)


@dataclasses.dataclass(frozen=True)
class StoredKernel:
    """A kernel in a LiteRT file.

    Attributes:
        name: The name of its layer or of its operator.
        index_bytes: Bytes of a column index; 0 if the kernel is stored densely.
        int8: Whether its values are int8.
    """

    name: str
    index_bytes: int
    int8: bool


def encode(content: bytes, *, int8: bool) -> tuple[bytes, list[StoredKernel]]:
    """Stores the kernels of a dense float32 LiteRT model in fewer bytes.

    Args:
        content: The file.
        int8: Whether kernels become int8: symmetric, so that zeros stay exact, with one scale per
            output channel.

    Returns:
        The new file and its kernels.
    """
    editor = _Editor(schema.ModelT.InitFromPackedBuf(content, 0))
    kernels = [editor.encode(index, axis, int8) for index, axis in editor.kernels().items()]
    return editor.pack(), kernels


class _Editor:
    """A model, and the operators to insert before its first one."""

    def __init__(self, model):
        self.model = model
        self.graph = model.subgraphs[0]
        self.expanding = []

    def kernels(self) -> dict[int, int]:
        """Axes of output channels by the index of the constant float32 tensor."""
        found = {}
        for operator in self.graph.operators:
            code = self.model.operatorCodes[operator.opcodeIndex]
            place, axis = KERNELS.get(max(code.builtinCode, code.deprecatedBuiltinCode), (0, None))
            if axis is not None and self._values(operator.inputs[place]) is not None:
                found[int(operator.inputs[place])] = axis
        return found

    def _values(self, index: int) -> np.ndarray | None:
        tensor = self.graph.tensors[index]
        data = self.model.buffers[tensor.buffer].data
        if tensor.type != schema.TensorType.FLOAT32 or data is None or tensor.shape is None:
            return None
        return np.asarray(data, np.uint8).view(np.float32).reshape(tensor.shape)

    def encode(self, index: int, axis: int, int8: bool) -> StoredKernel:
        """Stores one kernel in as few bytes as possible, and expands it before it is used."""
        tensor, values = self.graph.tensors[index], self._values(index)
        name = _layer_name(tensor.name.decode())
        used = index
        int8 = int8 and values.nbytes - values.size > OPERATOR_BYTES
        if int8:
            used = self._add_tensor(tensor, f"{name}/float32")
            tensor.type = schema.TensorType.INT8
            tensor.quantization, stored = _quantize(values, axis)
        else:
            stored = values
        sparsity, packed, index_bytes = _rows(stored)
        if packed + OPERATOR_BYTES < stored.nbytes:
            expanded = self._add_tensor(tensor, f"{name}/expanded")
            self._expand(schema.BuiltinOperator.DENSIFY, 1, index, expanded)
            tensor.sparsity, stored = sparsity, stored[stored != 0]
            tensor.quantization = None  # the expanded tensor has it
        else:
            expanded, index_bytes = index, 0
        if int8:
            if expanded != index:
                self._keep(expanded)
            self._expand(schema.BuiltinOperator.DEQUANTIZE, 5, expanded, used)
        else:
            used = expanded
        self._store(tensor, stored)
        self._use(index, used)
        return StoredKernel(name, index_bytes, int8)

    def _add_tensor(self, like, name: str) -> int:
        tensor = copy.copy(like)
        tensor.name, tensor.buffer = name.encode(), 0
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def _expand(self, builtin: int, version: int, source: int, target: int) -> None:
        operator = schema.OperatorT()
        operator.opcodeIndex = self._code(builtin, version)
        operator.inputs = np.array([source], np.int32)
        operator.outputs = np.array([target], np.int32)
        self.expanding.append(operator)

    def _keep(self, expanded: int) -> None:
        """Keeps an expanded kernel by an operator that reads it at no cost.

        The XNNPACK delegate drops an expansion that only a DEQUANTIZE reads, even if it does not
        take over the reader of the DEQUANTIZE. It never takes over RANK.
        """
        rank = schema.TensorT()
        rank.name, rank.type, rank.buffer = b"rank", schema.TensorType.INT32, 0
        rank.shape = np.array([], np.int32)
        self.graph.tensors.append(rank)
        self._expand(schema.BuiltinOperator.RANK, 1, expanded, len(self.graph.tensors) - 1)

    def _code(self, builtin: int, version: int) -> int:
        for index, code in enumerate(self.model.operatorCodes):
            if code.builtinCode == builtin and code.version == version:
                return index
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = builtin
        code.version = version
        self.model.operatorCodes.append(code)
        return len(self.model.operatorCodes) - 1

    def _store(self, tensor, values: np.ndarray) -> None:
        """Gives the tensor a buffer of its own: the converter may have made two share one."""
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(values.tobytes(), np.uint8)
        self.model.buffers.append(buffer)
        tensor.buffer = len(self.model.buffers) - 1

    def _use(self, index: int, used: int) -> None:
        for operator in self.graph.operators:
            operator.inputs = np.where(operator.inputs == index, used, operator.inputs)

    def pack(self) -> bytes:
        """The model as a file."""
        self.graph.operators = [*self.expanding, *self.graph.operators]
        used = {tensor.buffer for graph in self.model.subgraphs for tensor in graph.tensors}
        used |= {entry.buffer for entry in self.model.metadata or []}
        for index, buffer in enumerate(self.model.buffers):
            buffer.data = buffer.data if index in used else None
            buffer.__class__ = _AlignedBuffer
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


class _AlignedBuffer(schema.BufferT):
    """A buffer aligned as the schema requires, at a multiple of 16 bytes."""

    def Pack(self, builder):  # noqa: N802
        data = None if self.data is None else np.asarray(self.data, np.uint8)
        if data is not None:
            builder.StartVector(1, data.size, ALIGNMENT)
            builder.head -= data.size
            builder.Bytes[builder.head : builder.head + data.size] = data.tobytes()
            data = builder.EndVector()
        schema.BufferStart(builder)
        if data is not None:
            schema.BufferAddData(builder, data)
        return schema.BufferEnd(builder)


def _layer_name(tensor_name: str) -> str:
    """Keras's name of the layer, extracted from the converter's name of the fused operators."""
    first = tensor_name.partition(";")[0].split("/")
    return first[-2] if len(first) > 1 else first[0]


def _quantize(values: np.ndarray, axis: int):
    axis %= values.ndim
    axes = tuple(i for i in range(values.ndim) if i != axis)
    scale = np.abs(values).max(axis=axes, keepdims=True) / np.float32(127)
    scale[scale == 0] = 1
    parameters = schema.QuantizationParametersT()
    parameters.scale = scale.reshape(-1)
    parameters.zeroPoint = np.zeros(scale.size, np.int64)
    parameters.quantizedDimension = axis
    return parameters, np.rint(values / scale).astype(np.int8)


def _rows(values: np.ndarray):
    """Stores all axes densely except the last, of which only the non-zero columns are stored.

    Returns:
        The sparsity parameters, the total bytes stored, and the bytes of a column index.
    """
    rows = values.reshape(-1, values.shape[-1]) != 0
    starts, columns = np.append(0, np.cumsum(rows.sum(axis=1))), np.nonzero(rows)[1]
    last = schema.DimensionMetadataT()
    last.format = schema.DimensionType.SPARSE_CSR
    last.arraySegmentsType, last.arraySegments = _index_vector(starts)
    last.arrayIndicesType, last.arrayIndices = _index_vector(columns, rows.shape[1])
    parameters = schema.SparsityParametersT()
    parameters.traversalOrder = np.arange(values.ndim, dtype=np.int32)
    parameters.dimMetadata = [*map(_dense_axis, values.shape[:-1]), last]
    indices = last.arrayIndices.values
    stored = len(columns) * values.itemsize + indices.nbytes + last.arraySegments.values.nbytes
    return parameters, stored, indices.itemsize


def _dense_axis(size: int):
    axis = schema.DimensionMetadataT()
    axis.format, axis.denseSize = schema.DimensionType.DENSE, int(size)
    return axis


def _index_vector(values: np.ndarray, limit: int | None = None):
    """Indices below `limit` in the narrowest type of the format."""
    limit = int(values.max()) + 1 if limit is None else limit
    for dtype, container, kind in INDEX_VECTORS:
        if limit <= np.iinfo(dtype).max + 1:
            vector = container()
            vector.values = values.astype(dtype)
            return kind, vector
    raise ValueError(f"an index of {limit} is more than the format holds")
