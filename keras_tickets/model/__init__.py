"""Sparse models: made from dense ones, trained, saved, and made plain again."""

from keras_tickets.model.coordinates import basis_of, set_basis
from keras_tickets.model.sparse_model import SparseModel
from keras_tickets.model.sparsification import sparsify, with_full_masks
from keras_tickets.model.stripping import strip

__all__ = ["SparseModel", "basis_of", "set_basis", "sparsify", "strip", "with_full_masks"]
