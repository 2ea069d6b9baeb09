"""Weights stored in a SavedModel as non-zero values and bits, and expanded on loading."""

import hashlib

import numpy as np
import tensorflow as tf

from keras_tickets._files.mask_bits import pack_mask

GRAPH_BYTES = 8192  # about the size in the graph of the functions that expand one weight


class PackedWeight(tf.saved_model.experimental.TrackableResource):
    """A weight whose dense value exists only in memory, after loading.

    In the SavedModel it is a resource like a lookup table: after the checkpoint has been restored,
    TensorFlow's loaders run its initializer, which scatters the values into a variable's handle.

    Args:
        value: The dense weight.
    """

    def __init__(self, value: np.ndarray):
        super().__init__()
        self.shape = value.shape
        self.dtype = tf.as_dtype(value.dtype)
        # Different tables need different names; loaders make them unique for each loaded model.
        content = f"{self.dtype.name} {self.shape} ".encode() + value.tobytes()
        self.name = f"packed_{hashlib.sha256(content).hexdigest()}"
        nonzero = _nonzero(value)
        self.values = tf.Variable(value.reshape(-1)[nonzero.reshape(-1)], trainable=False)
        self.bits = tf.Variable(pack_mask(nonzero), trainable=False)

    @property
    def bytes(self) -> int:
        """Bytes of values and bits."""
        return self.values.numpy().nbytes + self.bits.numpy().nbytes

    def read(self) -> tf.Tensor:
        """The dense weight, in the saved graph."""
        value = tf.raw_ops.ReadVariableOp(resource=self.resource_handle, dtype=self.dtype)
        value.set_shape(self.shape)
        return value

    def _create_resource(self):
        return tf.raw_ops.VarHandleOp(dtype=self.dtype, shape=self.shape, shared_name=self.name)

    def _initialize(self):
        size = int(np.prod(self.shape))
        shifts = tf.range(8, dtype=tf.int32)[::-1]
        bits = tf.bitwise.right_shift(self.bits[:, tf.newaxis], tf.cast(shifts, tf.uint8)) & 1
        positions = tf.where(tf.reshape(bits, [-1])[:size])
        zeros = tf.zeros([size], self.dtype)
        dense = tf.tensor_scatter_nd_update(zeros, positions, self.values)
        tf.raw_ops.AssignVariableOp(
            resource=self.resource_handle, value=tf.reshape(dense, self.shape)
        )

    def _destroy_resource(self):
        tf.raw_ops.DestroyResourceOp(resource=self.resource_handle, ignore_lookup_error=True)


def gets_smaller(value: np.ndarray) -> bool:
    """Whether a weight takes fewer bytes on disk as a `PackedWeight`."""
    packed = np.count_nonzero(_nonzero(value)) * value.itemsize + value.size / 8
    return bool(packed + GRAPH_BYTES < value.nbytes)


def _nonzero(value: np.ndarray) -> np.ndarray:
    """Where any bit of a value is set, so that -0.0 is preserved."""
    return np.ascontiguousarray(value).view(f"uint{8 * value.itemsize}") != 0
