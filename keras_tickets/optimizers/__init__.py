"""Sparse optimizers: any Keras optimizer inside, masks that it respects, and methods on top."""

from keras_tickets.optimizers._kernel_state import KernelState
from keras_tickets.optimizers.dnw import DNW
from keras_tickets.optimizers.drop_and_grow import DropAndGrow
from keras_tickets.optimizers.gradual_magnitude import GradualMagnitude
from keras_tickets.optimizers.magnitude_pruning import MagnitudePruning
from keras_tickets.optimizers.periodic import PeriodicOptimizer
from keras_tickets.optimizers.rigl import RigL
from keras_tickets.optimizers.set import SET
from keras_tickets.optimizers.snfs import SNFS
from keras_tickets.optimizers.sparse_optimizer import SparseOptimizer
from keras_tickets.optimizers.static import Static
from keras_tickets.optimizers.straight_through import StraightThrough
from keras_tickets.optimizers.top_kast import TopKAST

__all__ = [
    "DNW",
    "DropAndGrow",
    "GradualMagnitude",
    "KernelState",
    "MagnitudePruning",
    "PeriodicOptimizer",
    "RigL",
    "SET",
    "SNFS",
    "SparseOptimizer",
    "Static",
    "StraightThrough",
    "TopKAST",
]
