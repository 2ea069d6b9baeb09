"""What the training binary can do with an experiment: one class each."""

from keras_tickets.experiments.procedures.distill import Distill
from keras_tickets.experiments.procedures.fit import Fit
from keras_tickets.experiments.procedures.procedure import Procedure, Run
from keras_tickets.experiments.procedures.tickets import Tickets

__all__ = ["Distill", "Fit", "Procedure", "Run", "Tickets"]
