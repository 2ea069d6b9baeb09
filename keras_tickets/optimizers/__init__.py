"""Sparse optimizers: any Keras optimizer inside, masks that it respects, and methods on top."""

from keras_tickets.optimizers.dnw import DNW as DNW
from keras_tickets.optimizers.drop_and_grow import DropAndGrow as DropAndGrow
from keras_tickets.optimizers.gradual_magnitude import GradualMagnitude as GradualMagnitude
from keras_tickets.optimizers.magnitude_pruning import MagnitudePruning as MagnitudePruning
from keras_tickets.optimizers.periodic import PeriodicOptimizer as PeriodicOptimizer
from keras_tickets.optimizers.rigl import RigL as RigL
from keras_tickets.optimizers.set import SET as SET
from keras_tickets.optimizers.snfs import SNFS as SNFS
from keras_tickets.optimizers.sparse_optimizer import SparseOptimizer as SparseOptimizer
from keras_tickets.optimizers.static import Static as Static
from keras_tickets.optimizers.straight_through import StraightThrough as StraightThrough
from keras_tickets.optimizers.top_kast import TopKAST as TopKAST
