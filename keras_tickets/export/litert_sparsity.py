"""Sparse tensors in LiteRT files: rows of which only the non-zero values or blocks are stored.

Source: the TensorFlow Lite schema, `SparsityParameters`.
"""

import dataclasses

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

INDEX_VECTORS = (
    (np.uint8, schema.Uint8VectorT, schema.SparseIndexVector.Uint8Vector),
    (np.uint16, schema.Uint16VectorT, schema.SparseIndexVector.Uint16Vector),
    (np.int32, schema.Int32VectorT, schema.SparseIndexVector.Int32Vector),
)


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
    def of(cls, tensor: np.ndarray, width: int = 1) -> "SparseRows":
        """Stores the blocks of `1 x width` with a value that is not zero.

        Args:
            tensor: Any tensor; a matrix if `width` is more than 1.
            width: Size of a block; it divides the size of the last axis.
        """
        blocks = tensor.reshape(-1, tensor.shape[-1] // width, width)
        kept = (blocks != 0).any(axis=2)
        counts, columns = kept.sum(axis=1), np.nonzero(kept)[1]
        axis = schema.DimensionMetadataT()
        axis.format = schema.DimensionType.SPARSE_CSR
        axis.arraySegmentsType, axis.arraySegments = _index_vector(np.append(0, counts.cumsum()))
        axis.arrayIndicesType, axis.arrayIndices = _index_vector(columns, kept.shape[1])
        parameters = schema.SparsityParametersT()
        parameters.dimMetadata = [*map(_dense_axis, tensor.shape[:-1]), axis]
        if width > 1:
            parameters.dimMetadata.append(_dense_axis(width))
            parameters.blockMap = np.array([tensor.ndim - 1], np.int32)
        parameters.traversalOrder = np.arange(len(parameters.dimMetadata), dtype=np.int32)
        values, indices = blocks[kept].reshape(-1), axis.arrayIndices.values
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
