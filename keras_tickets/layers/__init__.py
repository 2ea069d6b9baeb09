"""Keras layers."""

from keras_tickets.layers.fused_batch_normalization import (
    FusedBatchNormalization as FusedBatchNormalization,
)
from keras_tickets.layers.sparse import Sparse as Sparse
