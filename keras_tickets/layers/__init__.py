"""Keras layers: sparse ones, with masked or with sparsely stored kernels, and a faster batch
normalization.
"""

from keras_tickets.layers.fused_batch_normalization import FusedBatchNormalization
from keras_tickets.layers.sparse import Sparse
from keras_tickets.layers.sparse_dense import SparseDense

__all__ = ["FusedBatchNormalization", "Sparse", "SparseDense"]
