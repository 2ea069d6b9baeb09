"""The loss between solutions: along lines and trained Bézier curves, and its barriers."""

from keras_tickets.analysis.landscape.bezier import BezierCurve
from keras_tickets.analysis.landscape.bezier_training import bezier_curve
from keras_tickets.analysis.landscape.connectivity import Connectivity, barrier, connectivity

__all__ = ["BezierCurve", "Connectivity", "barrier", "bezier_curve", "connectivity"]
