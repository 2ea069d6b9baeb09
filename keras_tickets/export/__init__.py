"""Export of trained models as files for inference."""

from keras_tickets.export.api import export
from keras_tickets.export.report import ExportedKernel, ExportedOperator, ExportReport, Latency

__all__ = ["ExportReport", "ExportedKernel", "ExportedOperator", "Latency", "export"]
