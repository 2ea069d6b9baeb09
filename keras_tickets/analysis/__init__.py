"""Measurements of tickets: distance, connectivity, stability and overlap."""

from keras_tickets.analysis import figures
from keras_tickets.analysis.connectivity import Connectivity, barrier, connectivity
from keras_tickets.analysis.disagreement import disagreement
from keras_tickets.analysis.distance import Distance, Travel, distance, distance_travelled
from keras_tickets.analysis.gradient_flow import gradient_flow
from keras_tickets.analysis.overlap import Overlap, OverlapRow, overlap
from keras_tickets.analysis.random_masks import random_masks
from keras_tickets.analysis.stability import (
    Distances,
    MaskStability,
    Stability,
    order_distances,
    pruning_distances,
    stability,
)

__all__ = [
    "Connectivity",
    "Distance",
    "Distances",
    "MaskStability",
    "Overlap",
    "OverlapRow",
    "Stability",
    "Travel",
    "barrier",
    "connectivity",
    "disagreement",
    "distance",
    "distance_travelled",
    "figures",
    "gradient_flow",
    "order_distances",
    "overlap",
    "pruning_distances",
    "random_masks",
    "stability",
]
