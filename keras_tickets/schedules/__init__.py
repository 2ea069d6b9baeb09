"""Schedules: drop fractions for methods that grow, and sparsity ramps for methods that prune."""

from keras_tickets.schedules._get import get, get_ramp
from keras_tickets.schedules.drop_fractions import (
    Constant,
    Cosine,
    Exponential,
    InversePower,
    Linear,
    Schedule,
)
from keras_tickets.schedules.ramps import ConstantSparsity, CosineRamp, PolynomialDecay, Ramp
from keras_tickets.schedules.tfmot_ramp import TfmotRamp

__all__ = [
    "Constant",
    "ConstantSparsity",
    "Cosine",
    "CosineRamp",
    "Exponential",
    "InversePower",
    "Linear",
    "PolynomialDecay",
    "Ramp",
    "Schedule",
    "TfmotRamp",
    "get",
    "get_ramp",
]
