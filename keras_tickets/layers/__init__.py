"""Keras layers: `Sparse` masks another's kernels, `SparseDense` has none; batch normalization."""

from keras_tickets.layers.fused_batch_normalization import FusedBatchNormalization
from keras_tickets.layers.sparse import Sparse
from keras_tickets.layers.sparse_dense import SparseDense

__all__ = ["FusedBatchNormalization", "Sparse", "SparseDense"]
