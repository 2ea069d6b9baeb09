"""keras_tickets: sparse training for TensorFlow and Keras 3."""

from keras_tickets import _process
from keras_tickets._version import __version__

# The command line imports the rest itself, once it knows that it is needed.
if not _process.starts_as_command():
    from keras_tickets import (
        analysis,
        bases,
        callbacks,
        data,
        distributions,
        initializers,
        interop,
        layers,
        learning_rates,
        losses,
        metrics,
        models,
        optimizers,
        schedules,
        scoring,
        structures,
        trainers,
    )
    from keras_tickets._kernels.paths import weight_paths
    from keras_tickets.compact import CompactionReport, compact, compaction_report
    from keras_tickets.compare import Comparison, compare
    from keras_tickets.export import ExportReport, export
    from keras_tickets.flops import Flops, flops
    from keras_tickets.gradients import DenseGradientTape
    from keras_tickets.masks import get_masks, set_masks
    from keras_tickets.model import SparseModel, sparsify, strip
    from keras_tickets.plan import SparsityPlan, plan, summary
    from keras_tickets.pruning import prune
    from keras_tickets.step import Step
    from keras_tickets.tickets import Ticket, load_ticket, save_ticket
    from keras_tickets.training_cost import TrainingCost, training_cost

__all__ = [
    "CompactionReport",
    "Comparison",
    "DenseGradientTape",
    "ExportReport",
    "Flops",
    "SparseModel",
    "SparsityPlan",
    "Step",
    "Ticket",
    "TrainingCost",
    "analysis",
    "bases",
    "callbacks",
    "compact",
    "compaction_report",
    "compare",
    "data",
    "distributions",
    "export",
    "flops",
    "get_masks",
    "initializers",
    "interop",
    "layers",
    "load_ticket",
    "losses",
    "learning_rates",
    "metrics",
    "models",
    "optimizers",
    "plan",
    "prune",
    "save_ticket",
    "schedules",
    "scoring",
    "set_masks",
    "sparsify",
    "strip",
    "structures",
    "summary",
    "trainers",
    "training_cost",
    "weight_paths",
    "__version__",
]
