"""Models without their dead units and channels."""

from keras_tickets.compact.api import compact, compaction_report
from keras_tickets.compact.report import CompactionReport, CompactionRow, Stayed

__all__ = ["CompactionReport", "CompactionRow", "Stayed", "compact", "compaction_report"]
