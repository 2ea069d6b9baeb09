"""How a sparsity is shared among the kernels of a model."""

from keras_tickets._selection.counts import nonzeros
from keras_tickets.distributions._get import get
from keras_tickets.distributions.custom import Custom
from keras_tickets.distributions.distribution import Allocation, Distribution
from keras_tickets.distributions.erdos_renyi import ER, ERK
from keras_tickets.distributions.global_ranking import Global
from keras_tickets.distributions.uniform import Uniform

__all__ = [
    "ER",
    "ERK",
    "Allocation",
    "Custom",
    "Distribution",
    "Global",
    "Uniform",
    "get",
    "nonzeros",
]
