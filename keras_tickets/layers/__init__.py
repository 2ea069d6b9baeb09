"""Keras layers: two kinds of sparse layers, and a faster batch normalization."""

from keras_tickets.layers.fused_batch_normalization import FusedBatchNormalization
from keras_tickets.layers.sparse import Sparse
from keras_tickets.layers.sparse_dense import SparseDense

__all__ = ["FusedBatchNormalization", "Sparse", "SparseDense"]
