"""The names that gin files can use; the only module that binds gin to the rest of the package."""

import gin
import keras

from keras_tickets import (
    distributions,
    initializers,
    learning_rates,
    models,
    optimizers,
    schedules,
    scoring,
    structures,
)
from keras_tickets.experiments import procedures
from keras_tickets.experiments.experiment import Experiment

KERAS_OPTIMIZERS = (
    "SGD",
    "Adam",
    "AdamW",
    "Adamax",
    "Nadam",
    "RMSprop",
    "Adagrad",
    "Adadelta",
    "Adafactor",
    "Lion",
    "Ftrl",
    "Muon",
)
KERAS_SCHEDULES = (
    "CosineDecay",
    "CosineDecayRestarts",
    "ExponentialDecay",
    "InverseTimeDecay",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
)
KERAS_INITIALIZERS = ("RandomNormal", "RandomUniform", "TruncatedNormal", "VarianceScaling")
GIVEN_BY_TRAIN = {"input_shape", "classes", "seed"}


def bind() -> None:
    """Registers every name, once; a second call does nothing.

    `train` are the fields of `Experiment`. Functions of `kt.models` and classes of
    `kt.optimizers`, `kt.distributions`, `kt.schedules`, `kt.learning_rates`, Keras's optimizers,
    learning rate schedules and initializers go by their own names. Seeds follow `train.seed` and
    are not bound one by one.
    """
    if _is_bound("train"):
        return
    gin.external_configurable(Experiment, name="train")
    gin.external_configurable(procedures.Tickets, name="tickets")
    gin.external_configurable(procedures.Distill, name="distill")
    for name in models.__all__:
        _bind(getattr(models, name), "kt.models", GIVEN_BY_TRAIN)
    _bind(optimizers.Static, "kt.optimizers")
    for name in ("SET", "RigL", "SNFS"):
        _bind(getattr(optimizers, name), "kt.optimizers", {"seed"})
    for name in ("Uniform", "ER", "ERK", "Global", "Custom"):
        _bind(getattr(distributions, name), "kt.distributions")
    for name in ("GradualMagnitude", "StraightThrough", "DNW", "TopKAST"):
        _bind(getattr(optimizers, name), "kt.optimizers")
    for name in ("PolynomialDecay", "CosineRamp", "ConstantSparsity"):
        _bind(getattr(schedules, name), "kt.schedules")
    for name in ("Constant", "Cosine", "Linear", "InversePower", "Exponential"):
        _bind(getattr(schedules, name), "kt.schedules")
    _bind(initializers.SparseVarianceScaling, "kt.initializers", {"seed"})
    for score in scoring.SCORES.values():
        _bind(score, "kt.scoring", {"model", *scoring.takes(score)})
    for name in ("Unstructured", "NM", "Block", "Channel", "FanIn"):
        _bind(getattr(structures, name), "kt.structures")
    for name in KERAS_OPTIMIZERS:
        _bind(getattr(keras.optimizers, name), "keras.optimizers")
    for name in KERAS_SCHEDULES:
        _bind(getattr(keras.optimizers.schedules, name), "keras.schedules")
    _bind(learning_rates.Warmup, "kt.learning_rates")
    for name in KERAS_INITIALIZERS:
        _bind(getattr(keras.initializers, name), "keras.initializers", {"seed"})


def _bind(configurable, module, denied=()):
    gin.external_configurable(configurable, module=module, denylist=sorted(denied) or None)


def _is_bound(name):
    try:
        gin.get_configurable(name)
    except ValueError:
        return False
    return True
