"""What pruning one kernel alone costs, and the sparsities that follow from it."""

from keras_tickets.analysis.sensitivity.sensitivity import (
    Sensitivity,
    SensitivityRow,
    sensitivity,
)
from keras_tickets.analysis.sensitivity.suggestion import Suggestion

__all__ = ["Sensitivity", "SensitivityRow", "Suggestion", "sensitivity"]
