"""LiteRT (TensorFlow Lite) files as objects that can be changed and written again.

Source: the TensorFlow Lite schema.
"""

import copy
import re

import flatbuffers
import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

from keras_tickets.export.litert_sparsity import NonZeros

IDENTIFIER = b"TFL3"  # at the fifth byte of a file
ALIGNMENT = 16
OPERATORS = schema.BuiltinOperator
NAMES = {value: name for name, value in vars(OPERATORS).items() if isinstance(value, int)}
DTYPES = {schema.TensorType.FLOAT32: np.float32, schema.TensorType.INT8: np.int8}
CONSTANTS = DTYPES | {schema.TensorType.INT32: np.int32, schema.TensorType.INT64: np.int64}
ONE_CHANNEL = np.array([0, 0, 0, 1], np.int32)
# Operators with a kernel: which input it is, and which of its axes are the output channels.
KERNELS = {
    OPERATORS.BATCH_MATMUL: (1, -1),
    OPERATORS.CONV_2D: (1, 0),
    OPERATORS.CONV_3D: (1, -1),
    OPERATORS.DEPTHWISE_CONV_2D: (1, -1),
    OPERATORS.FULLY_CONNECTED: (1, 0),
    OPERATORS.GATHER: (0, -1),
    OPERATORS.TRANSPOSE_CONV: (1, 0),
}


# Scopes that TensorFlow opens inside that of a layer.
_INSIDE = re.compile(r"Tensordot(_\d+)?")


def layer_name(tensor_name: str) -> str:
    """Keras's name of the layer, extracted from the converter's name of fused operators."""
    first, *_ = tensor_name.split(";")
    *scopes, operation = first.split("/")
    return next((each for each in reversed(scopes) if not _INSIDE.fullmatch(each)), operation)


class LitertFile:
    """A LiteRT model, of which the main graph can be changed.

    Args:
        content: The file.

    Attributes:
        tensors: The tensors of the main graph.
    """

    def __init__(self, content: bytes):
        self._model = schema.ModelT.InitFromPackedBuf(content, 0)
        self._graph = self._model.subgraphs[0]
        self._first: list[schema.OperatorT] = []
        self.tensors: list[schema.TensorT] = self._graph.tensors

    def kernels(self) -> dict[int, int]:
        """Axes of output channels by the index of the constant tensor, float32 or int8."""
        found = {}
        for operator in self._graph.operators:
            place, axis = KERNELS.get(self._builtin(operator), (0, None))
            if axis is not None and self.values(operator.inputs[place]) is not None:
                found[int(operator.inputs[place])] = axis
        return found

    def values(self, index: int) -> np.ndarray | NonZeros | None:
        """The values of a tensor; `None` if it is not a constant of float32 or scaled int8."""
        tensor = self.tensors[index]
        data = self._model.buffers[tensor.buffer].data
        dtype = DTYPES.get(tensor.type)
        if dtype is None or data is None or tensor.shape is None:
            return None
        if dtype == np.int8 and (tensor.quantization is None or tensor.quantization.scale is None):
            return None
        values = np.asarray(data, np.uint8).view(dtype)
        return (
            values.reshape(tensor.shape)
            if tensor.sparsity is None
            else NonZeros.read(tensor, values)
        )

    def fix_input(self, name: str) -> int | None:
        """Makes an input of the model's signature a tensor without a value; returns its index.

        It is `None` where the converter has left the input out, because nothing needs it.
        """
        (signature,) = self._model.signatureDefs
        found = [
            int(entry.tensorIndex) for entry in signature.inputs if entry.name.decode() == name
        ]
        signature.inputs = [entry for entry in signature.inputs if entry.name.decode() != name]
        self._graph.inputs = np.array([i for i in self._graph.inputs if i not in found], np.int32)
        return found[0] if found else None

    def in_float(self) -> set[str]:
        """The names of the operators that compute with float32."""
        return {
            self._name(operator)
            for operator in self._graph.operators
            if self._builtin(operator) not in (OPERATORS.QUANTIZE, OPERATORS.DEQUANTIZE)
            and any(
                self.tensors[index].type == schema.TensorType.FLOAT32
                for index in (*operator.inputs, *operator.outputs)
                if index >= 0
            )
        }

    def readers(self, index: int) -> list[schema.OperatorT]:
        """The operators that read a tensor."""
        return [operator for operator in self._graph.operators if index in operator.inputs]

    def layer_of(self, index: int) -> str:
        """The name of the layer of a kernel."""
        name, readers = self.tensors[index].name.decode(), self.readers(index)
        if "/" not in name and readers:  # what several operators read has a number for a name
            name = self.tensors[int(readers[0].outputs[0])].name.decode()
        return layer_name(name)

    def readers_names(self, index: int) -> list[str]:
        """The names of the operators that read a tensor, each once."""
        return sorted({self._name(operator) for operator in self.readers(index)})

    def _name(self, operator: schema.OperatorT) -> str:
        return NAMES[self._builtin(operator)]

    def _builtin(self, operator: schema.OperatorT) -> int:
        code = self._model.operatorCodes[operator.opcodeIndex]
        return max(code.builtinCode, code.deprecatedBuiltinCode)

    def add_tensor(self, like: schema.TensorT, name: str) -> int:
        """Adds a tensor of the same shape and type, without a value; returns its index."""
        tensor = copy.copy(like)
        tensor.name, tensor.buffer = name.encode(), 0
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def add_number(self, name: str) -> int:
        """Adds a scalar tensor of int32 without a value; returns its index."""
        tensor = schema.TensorT()
        tensor.name, tensor.type, tensor.buffer = name.encode(), schema.TensorType.INT32, 0
        tensor.shape = np.array([], np.int32)
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def run_first(self, builtin: int, version: int, source: int, target: int) -> None:
        """Adds an operator of one input and one output, before all that were there."""
        operator = schema.OperatorT()
        operator.opcodeIndex = self._code(builtin, version)
        operator.inputs = np.array([source], np.int32)
        operator.outputs = np.array([target], np.int32)
        self._first.append(operator)

    def set_version(self, operator: schema.OperatorT, version: int) -> None:
        """Gives an operator another version."""
        operator.opcodeIndex = self._code(self._builtin(operator), version)

    def add_channel(self, output: int) -> None:
        """Gives a convolution behind a PAD one more input channel, of zeros, which the PAD adds.

        Args:
            output: The index of what the convolution writes.
        """
        convolution = self._writer(output)
        pad = self._writer(convolution.inputs[0])
        kernel, amounts = (self._constant(each.inputs[1]) for each in (convolution, pad))
        self._replace_constant(convolution, np.pad(kernel, [*3 * [(0, 0)], (0, 1)]))
        self._replace_constant(pad, amounts + np.array([*3 * [(0, 0)], (0, 1)], amounts.dtype))
        images = self.tensors[pad.outputs[0]]
        images.shape = images.shape + ONE_CHANNEL
        if images.shapeSignature is not None:
            images.shapeSignature = images.shapeSignature + ONE_CHANNEL

    def _writer(self, index: int) -> schema.OperatorT:
        (operator,) = (each for each in self._graph.operators if index in each.outputs)
        return operator

    def _constant(self, index: int) -> np.ndarray:
        tensor = self.tensors[index]
        data = np.asarray(self._model.buffers[tensor.buffer].data, np.uint8)
        return data.view(CONSTANTS[tensor.type]).reshape(tensor.shape)

    def _replace_constant(self, operator: schema.OperatorT, values: np.ndarray) -> None:
        """Lets an operator read a constant of its own as its second input."""
        like = self.tensors[operator.inputs[1]]
        index = self.add_tensor(like, like.name.decode())
        self.tensors[index].shape = np.array(values.shape, np.int32)
        self.store(self.tensors[index], values)
        operator.inputs = np.array([operator.inputs[0], index, *operator.inputs[2:]], np.int32)

    def _code(self, builtin: int, version: int) -> int:
        for index, code in enumerate(self._model.operatorCodes):
            if code.builtinCode == builtin and code.version == version:
                return index
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = builtin
        code.version = version
        self._model.operatorCodes.append(code)
        return len(self._model.operatorCodes) - 1

    def store(self, tensor: schema.TensorT, values: np.ndarray) -> None:
        """Gives a tensor a buffer of its own: the converter may have made two share one."""
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(values.tobytes(), np.uint8)
        self._model.buffers.append(buffer)
        tensor.buffer = len(self._model.buffers) - 1

    def replace_input(self, index: int, used: int) -> None:
        """Lets all operators that read a tensor read another one."""
        for operator in self.readers(index):
            operator.inputs = np.where(operator.inputs == index, used, operator.inputs)

    def keep_only(self, operator: schema.OperatorT, signature: str) -> None:
        """Removes all other operators; `input` is then the first input, `output` the output.

        Inputs after the first that are no constants are left out. What runs first stays.
        """
        first, *others = (int(index) for index in operator.inputs)
        others = [index if self._is_constant(index) else -1 for index in others]
        stored = [int(each.inputs[0]) for each in self._first]
        used = [first, *(i for i in others if i >= 0), *stored, int(operator.outputs[0])]
        places = {index: place for place, index in enumerate(used)} | {-1: -1}
        self._graph.tensors = self.tensors = [self.tensors[index] for index in used]
        operator.inputs = np.array([first, *others], np.int32)
        for each in (*self._first, operator):
            each.inputs = np.array([places[int(i)] for i in each.inputs], np.int32)
            each.outputs = np.array([places[int(i)] for i in each.outputs], np.int32)
        self._graph.operators = [operator]
        self._graph.inputs, self._graph.outputs = operator.inputs[:1], operator.outputs
        self._model.subgraphs, self._model.metadata = [self._graph], None
        named = schema.SignatureDefT()
        named.signatureKey, named.subgraphIndex = signature.encode(), 0
        named.inputs = [_tensor_name("input", 0)]
        named.outputs = [_tensor_name("output", len(used) - 1)]
        self._model.signatureDefs = [named]

    def _is_constant(self, index: int) -> bool:
        if index < 0:
            return False
        expanded = any(index in operator.outputs for operator in self._first)
        return expanded or self._model.buffers[self.tensors[index].buffer].data is not None

    def pack(self) -> bytes:
        """The file."""
        self._graph.operators = [*self._first, *self._graph.operators]
        used = {tensor.buffer for graph in self._model.subgraphs for tensor in graph.tensors}
        used |= {entry.buffer for entry in self._model.metadata or []}
        for index, buffer in enumerate(self._model.buffers):
            buffer.data = buffer.data if index in used else None
            buffer.__class__ = _AlignedBuffer
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(self._model.Pack(builder), IDENTIFIER)
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


def _tensor_name(name: str, index: int) -> schema.TensorMapT:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name.encode(), index
    return entry
