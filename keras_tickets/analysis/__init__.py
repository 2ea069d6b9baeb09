"""Measurements of sparse networks: distance, landscape, stability, topology, curvature, worlds."""

from keras_tickets.analysis import figures
from keras_tickets.analysis.curvature import (
    Curvature,
    Estimate,
    Hessian,
    Lanczos,
    curvature,
    hutchinson,
    lanczos,
)
from keras_tickets.analysis.disagreement import disagreement
from keras_tickets.analysis.distance import Distance, Travel, distance, distance_travelled
from keras_tickets.analysis.gradient_flow import effective_gradient_flow, gradient_flow
from keras_tickets.analysis.landscape import (
    BezierCurve,
    Connectivity,
    barrier,
    bezier_curve,
    connectivity,
)
from keras_tickets.analysis.random_masks import random_masks
from keras_tickets.analysis.sensitivity import (
    Sensitivity,
    SensitivityRow,
    Suggestion,
    sensitivity,
)
from keras_tickets.analysis.stability import (
    Distances,
    MaskStability,
    Stability,
    order_distances,
    pruning_distances,
    stability,
)
from keras_tickets.analysis.topology import (
    DegreeChange,
    Degrees,
    EffectiveRow,
    EffectiveSparsity,
    MaskCourse,
    MaskHistory,
    Overlap,
    OverlapRow,
    Overlaps,
    degree_change,
    degrees,
    effective_sparsity,
    input_connections,
    mask_history,
    overlap,
    overlaps,
)
from keras_tickets.analysis.worlds import Course, Worlds, worlds

__all__ = [
    "BezierCurve",
    "Connectivity",
    "Course",
    "Curvature",
    "DegreeChange",
    "Degrees",
    "Distance",
    "Distances",
    "EffectiveRow",
    "EffectiveSparsity",
    "Estimate",
    "Hessian",
    "Lanczos",
    "MaskCourse",
    "MaskHistory",
    "MaskStability",
    "Overlap",
    "OverlapRow",
    "Overlaps",
    "Sensitivity",
    "SensitivityRow",
    "Stability",
    "Suggestion",
    "Travel",
    "Worlds",
    "barrier",
    "bezier_curve",
    "connectivity",
    "curvature",
    "degree_change",
    "degrees",
    "disagreement",
    "distance",
    "distance_travelled",
    "effective_gradient_flow",
    "effective_sparsity",
    "figures",
    "gradient_flow",
    "hutchinson",
    "input_connections",
    "lanczos",
    "mask_history",
    "order_distances",
    "overlap",
    "overlaps",
    "pruning_distances",
    "random_masks",
    "sensitivity",
    "stability",
    "worlds",
]
