"""Measurements of sparse networks: distance, landscape, stability, topology, curvature, worlds."""

from keras_tickets.analysis import figures
from keras_tickets.analysis.curvature.curvature import Curvature, curvature
from keras_tickets.analysis.curvature.hessian import Hessian
from keras_tickets.analysis.curvature.hutchinson import Estimate, hutchinson
from keras_tickets.analysis.curvature.lanczos import Lanczos, lanczos
from keras_tickets.analysis.disagreement import disagreement
from keras_tickets.analysis.distance import Distance, Travel, distance, distance_travelled
from keras_tickets.analysis.gradient_flow import effective_gradient_flow, gradient_flow
from keras_tickets.analysis.landscape.bezier import BezierCurve
from keras_tickets.analysis.landscape.bezier_training import bezier_curve
from keras_tickets.analysis.landscape.connectivity import Connectivity, barrier, connectivity
from keras_tickets.analysis.random_masks import random_masks
from keras_tickets.analysis.sensitivity.sensitivity import (
    Sensitivity,
    SensitivityRow,
    sensitivity,
)
from keras_tickets.analysis.sensitivity.suggestion import Suggestion
from keras_tickets.analysis.stability import (
    Distances,
    MaskStability,
    Stability,
    order_distances,
    pruning_distances,
    stability,
)
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
from keras_tickets.analysis.worlds.worlds import Course, Worlds, worlds

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
