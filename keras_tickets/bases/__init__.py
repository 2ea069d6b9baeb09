"""Orthonormal bases of kernels: coefficients are pruned instead of single weights."""

from keras_tickets.bases.basis import Basis
from keras_tickets.bases.coefficient_masks import magnitude_masks, project
from keras_tickets.bases.constraint import constrain
from keras_tickets.bases.dct import DCT
from keras_tickets.bases.identity import Identity
from keras_tickets.bases.random_orthogonal import RandomOrthogonal
from keras_tickets.bases.singular import Singular

__all__ = [
    "Basis",
    "DCT",
    "Identity",
    "RandomOrthogonal",
    "Singular",
    "constrain",
    "magnitude_masks",
    "project",
]
