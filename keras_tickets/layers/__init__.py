"""Keras layers: `Sparse`, which masks the kernels of another, and a faster batch normalization."""

from keras_tickets.layers.fused_batch_normalization import FusedBatchNormalization
from keras_tickets.layers.sparse import Sparse

__all__ = ["FusedBatchNormalization", "Sparse"]
