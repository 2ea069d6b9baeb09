"""What a LiteRT file computes: its operators in order, and which tensors they read and write.

Source: the TensorFlow Lite schema.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

from keras_tickets.export.litert_file import layer_name

NAMES = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
# Operators that turn a stored constant into the values that others read.
UNPACKING = ("DENSIFY", "DEQUANTIZE")
FLOATING = (schema.TensorType.FLOAT32, schema.TensorType.FLOAT16)
DTYPES = {
    schema.TensorType.FLOAT32: np.float32,
    schema.TensorType.FLOAT16: np.float16,
    schema.TensorType.INT8: np.int8,
    schema.TensorType.INT32: np.int32,
    schema.TensorType.INT64: np.int64,
}


@dataclasses.dataclass(frozen=True)
class Constant:
    """A tensor whose values are in the file.

    Attributes:
        shape: Its shape.
        values: What is stored, in one axis: only some of the values if it is sparse.
        floating: Whether operators read it as float32 or float16.
    """

    shape: tuple[int, ...]
    values: np.ndarray
    floating: bool

    @property
    def size(self) -> int:
        """The number of values."""
        return math.prod(self.shape)

    @property
    def zeros(self) -> int:
        """The number of zeros."""
        return self.size - int(np.count_nonzero(self.values))


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A tensor that is computed.

    Attributes:
        shape: Its shape.
        floating: Whether its values are float32 or float16.
    """

    shape: tuple[int, ...]
    floating: bool


@dataclasses.dataclass(frozen=True, eq=False)
class Operator:
    """An operator that computes with something that is not constant.

    Attributes:
        name: The name of its layer.
        kind: Its name in the format, such as "CONV_2D".
        options: Its options, a table of the schema.
        inputs: Indices of the tensors that it reads; -1 where one is left out.
        outputs: Indices of the tensors that it writes.
    """

    name: str
    kind: str
    options: Any
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class LitertGraph:
    """The main graph of a LiteRT file.

    Attributes:
        operators: Its operators in order, without those on constants alone.
        constants: By index.
        tensors: The others, by index.
        outputs: Indices of what the graph returns.
        unpacked: Whether a constant of floats is stored sparsely, and expanded for its operators,
            and none is stored as int8.
    """

    operators: tuple[Operator, ...]
    constants: Mapping[int, Constant]
    tensors: Mapping[int, Tensor]
    outputs: frozenset[int]
    unpacked: bool

    @classmethod
    def of(cls, content: bytes) -> "LitertGraph":
        """Reads a file."""
        model = schema.ModelT.InitFromPackedBuf(content, 0)
        graph = model.subgraphs[0]
        constants = {
            index: found
            for index, tensor in enumerate(graph.tensors)
            if (found := _constant(model, tensor)) is not None
        }
        operators, unpacked, int8 = [], False, False
        for each in graph.operators:
            code = model.operatorCodes[each.opcodeIndex]
            kind = NAMES[max(code.builtinCode, code.deprecatedBuiltinCode)]
            inputs, outputs = _indices(each.inputs), _indices(each.outputs)
            if all(index in constants or index < 0 for index in inputs):
                if kind in UNPACKING:
                    floating = graph.tensors[outputs[0]].type in FLOATING
                    int8 = int8 or (floating and not constants[inputs[0]].floating)
                    constants[outputs[0]] = dataclasses.replace(
                        constants[inputs[0]], floating=floating
                    )
                    unpacked = unpacked or (kind == "DENSIFY" and floating)
                continue
            name = _layer_name(graph.tensors, kind, inputs, outputs)
            operators.append(Operator(name, kind, each.builtinOptions, inputs, outputs))
        tensors = {
            index: Tensor(_shape(tensor), tensor.type in FLOATING)
            for index, tensor in enumerate(graph.tensors)
            if index not in constants
        }
        outputs_ = frozenset(_indices(graph.outputs))
        unpacked = unpacked and not int8
        return cls(tuple(operators), constants, tensors, outputs_, unpacked)

    def tensor(self, index: int) -> Tensor | Constant:
        """A tensor, constant or not."""
        return self.tensors.get(index) or self.constants[index]

    def readers(self, index: int) -> list[Operator]:
        """The operators that read a tensor."""
        return [each for each in self.operators if index in each.inputs]

    def writer(self, index: int) -> Operator | None:
        """The operator that writes a tensor; `None` for an input of the graph."""
        return next((each for each in self.operators if index in each.outputs), None)

    def read(self, operator: Operator) -> list[int]:
        """Indices of what an operator reads that is not constant."""
        return [index for index in operator.inputs if index in self.tensors]


# Operators whose second input is named after the layer.
_WITH_KERNEL = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


def _constant(model, tensor):
    data = model.buffers[tensor.buffer].data
    if data is None:
        return None
    values = np.asarray(data, np.uint8).view(DTYPES.get(tensor.type, np.uint8))
    return Constant(_shape(tensor), values, tensor.type in FLOATING)


def _layer_name(tensors, kind, inputs, outputs):
    """Keras's name of the layer, extracted from the converter's names of tensors."""
    source = inputs[1] if kind in _WITH_KERNEL else outputs[0]
    return layer_name(tensors[source].name.decode())


def _shape(tensor):
    return () if tensor.shape is None else tuple(int(size) for size in tensor.shape)


def _indices(values):
    return () if values is None else tuple(int(value) for value in values)
