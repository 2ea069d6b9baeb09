"""What masks are as graphs: degrees, overlap, their course, weights on no path."""

from keras_tickets.analysis.topology.degrees import DegreeChange, Degrees, degree_change, degrees
from keras_tickets.analysis.topology.effective_sparsity import (
    EffectiveRow,
    EffectiveSparsity,
    effective_sparsity,
)
from keras_tickets.analysis.topology.input_connections import input_connections
from keras_tickets.analysis.topology.mask_history import MaskCourse, MaskHistory, mask_history
from keras_tickets.analysis.topology.overlap import (
    Overlap,
    OverlapRow,
    Overlaps,
    overlap,
    overlaps,
)

__all__ = [
    "DegreeChange",
    "Degrees",
    "EffectiveRow",
    "EffectiveSparsity",
    "MaskCourse",
    "MaskHistory",
    "Overlap",
    "OverlapRow",
    "Overlaps",
    "degree_change",
    "degrees",
    "effective_sparsity",
    "input_connections",
    "mask_history",
    "overlap",
    "overlaps",
]
