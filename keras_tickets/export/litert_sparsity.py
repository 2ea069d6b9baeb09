"""Sparse tensors in LiteRT files: rows of which only the non-zero values or blocks are stored.

Source: the TensorFlow Lite schema, `SparsityParameters`.
"""

import dataclasses
import math

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

INDEX_VECTORS = (
    (np.uint8, schema.Uint8VectorT, schema.SparseIndexVector.Uint8Vector),
    (np.uint16, schema.Uint16VectorT, schema.SparseIndexVector.Uint16Vector),
    (np.int32, schema.Int32VectorT, schema.SparseIndexVector.Int32Vector),
)


@dataclasses.dataclass(frozen=True)
class NonZeros:
    """A tensor as its values that are not zero.

    Attributes:
        shape: Its shape.
        positions: int64 array of shape (values,): where they are, flat and row-major, ascending.
        values: Array of shape (values,).
    """

    shape: tuple[int, ...]
    positions: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, tensor: np.ndarray) -> "NonZeros":
        """Finds the values of a tensor that are not zero."""
        flat = tensor.reshape(-1)
        positions = np.flatnonzero(flat)
        return cls(tensor.shape, positions, flat[positions])

    @classmethod
    def read(cls, tensor: schema.TensorT, values: np.ndarray) -> "NonZeros":
        """Reads a matrix that is stored as `SparseRows` of single values."""
        rows, columns = (int(size) for size in tensor.shape)
        axis = tensor.sparsity.dimMetadata[1]
        starts = np.asarray(axis.arraySegments.values, np.int64)
        row_starts = np.repeat(np.arange(rows) * columns, starts[1:] - starts[:-1])
        positions = row_starts + axis.arrayIndices.values
        return cls((rows, columns), positions, values)

    @property
    def dtype(self) -> np.dtype:
        """The dtype of the values."""
        return self.values.dtype

    @property
    def size(self) -> int:
        """The number of values, zeros included."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """What all values take, zeros included."""
        return self.size * self.dtype.itemsize

    def whole(self) -> np.ndarray:
        """The whole tensor."""
        tensor = np.zeros(self.size, self.dtype)
        tensor[self.positions] = self.values
        return tensor.reshape(self.shape)

    def blocks(self, width: int) -> tuple[np.ndarray, np.ndarray]:
        """The numbers of the blocks of `1 x width` that are not zero, and their values, flat."""
        if width == 1:
            return self.positions, self.values
        inside = self.positions // width
        first = np.append(True, inside[1:] != inside[:-1])[: inside.size]
        values = np.zeros((np.count_nonzero(first), width), self.dtype)
        values[first.cumsum() - 1, self.positions % width] = self.values
        return inside[first], values.reshape(-1)

    def quantized(self, per_row: bool) -> "tuple[np.ndarray, NonZeros]":
        """Scales and int8 values of a matrix, with a scale for each row or one for all."""
        rows = self.positions // self.shape[1] if per_row else np.zeros_like(self.positions)
        scale = np.zeros(self.shape[0] if per_row else 1, np.float32)
        np.maximum.at(scale, rows, np.abs(self.values))
        scale = scale / np.float32(127)
        scale[scale == 0] = 1
        values = np.rint(self.values / scale[rows]).astype(np.int8)
        kept = values != 0
        return scale, NonZeros(self.shape, self.positions[kept], values[kept])


@dataclasses.dataclass(frozen=True)
class SparseRows:
    """A tensor by its rows, which are those of its last axis.

    Attributes:
        parameters: The `SparsityParameters`.
        values: What is stored of the tensor, in order.
        index_bytes: Bytes of a column index.
        bytes: All bytes stored, indices included.
        longest: The largest number of values or blocks in a row.
    """

    parameters: schema.SparsityParametersT
    values: np.ndarray
    index_bytes: int
    bytes: int
    longest: int

    @classmethod
    def of(cls, tensor: "np.ndarray | NonZeros", width: int = 1) -> "SparseRows":
        """Stores the blocks of `1 x width` with a value that is not zero.

        Args:
            tensor: Any tensor; a matrix if `width` is more than 1.
            width: Size of a block; it divides the size of the last axis.
        """
        found = tensor if isinstance(tensor, NonZeros) else NonZeros.of(tensor)
        blocks, values = found.blocks(width)
        length = found.shape[-1] // width
        counts = np.bincount(blocks // length, minlength=math.prod(found.shape[:-1]))
        columns = blocks % length
        axis = schema.DimensionMetadataT()
        axis.format = schema.DimensionType.SPARSE_CSR
        axis.arraySegmentsType, axis.arraySegments = _index_vector(np.append(0, counts.cumsum()))
        axis.arrayIndicesType, axis.arrayIndices = _index_vector(columns, length)
        parameters = schema.SparsityParametersT()
        parameters.dimMetadata = [*map(_dense_axis, found.shape[:-1]), axis]
        if width > 1:
            parameters.dimMetadata.append(_dense_axis(width))
            parameters.blockMap = np.array([len(found.shape) - 1], np.int32)
        parameters.traversalOrder = np.arange(len(parameters.dimMetadata), dtype=np.int32)
        indices = axis.arrayIndices.values
        size = values.nbytes + indices.nbytes + axis.arraySegments.values.nbytes
        return cls(parameters, values, indices.itemsize, size, int(counts.max(initial=0)))


def _dense_axis(size: int) -> schema.DimensionMetadataT:
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
