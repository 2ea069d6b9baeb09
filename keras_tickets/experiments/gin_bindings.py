"""The names that gin files can use; the only module that binds gin to the rest of the package."""

import inspect
from collections.abc import Callable, Iterable
from types import ModuleType

import gin
import keras

from keras_tickets import (
    bases,
    data,
    distributions,
    initializers,
    learning_rates,
    losses,
    metrics,
    models,
    optimizers,
    schedules,
    scoring,
    structures,
)
from keras_tickets.data import augmentation
from keras_tickets.experiments import procedures, settings, training_length

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
KERAS_REGULARIZERS = ("L1", "L1L2", "L2")
CLASSES = (
    optimizers,
    distributions,
    schedules,
    structures,
    initializers,
    learning_rates,
    losses,
    metrics,
)
DATA = ("image_folder", "npz", "stream", "text_file", "tfds", "tiny_shakespeare")
# Arguments that `train` gives; they are not bound one by one.
GIVEN = ("input_shape", "classes", "seed")
_NAMES = ["train", "tickets", "distill"]


def bind() -> None:
    """Registers every name, once; a second call does nothing.

    `train` are the settings of an experiment. The data sets of `kt.data`, the functions of
    `kt.models` and `kt.scoring`, the public classes of `kt.bases`, `kt.optimizers`,
    `kt.distributions`, `kt.schedules`, `kt.structures`, `kt.initializers`, `kt.learning_rates`,
    `kt.losses` and `kt.metrics`, and Keras's optimizers, learning rate schedules, initializers and
    regularizers go by their own names. Seeds follow `train.seed`; that of a basis is an argument.
    """
    if _is_bound("train"):
        return
    gin.external_configurable(settings.train, name="train")
    gin.external_configurable(procedures.Tickets, name="tickets")
    gin.external_configurable(procedures.Distill, name="distill")
    for function in (training_length.total_steps, training_length.scaled_steps):
        _bind(function, "kt.training_length")
    for name in models.__all__:
        _bind(getattr(models, name), "kt.models")
    for name in DATA:
        _bind(getattr(data, name), "kt.data", given=())
    _bind(augmentation.crop_and_flip, "kt.data", ("images", "draws"))
    for score in scoring.SCORES.values():
        _bind(score, "kt.scoring", ("model", *scoring.takes(score)))
    for basis in _classes(bases):
        _bind(basis, "kt.bases", given=())
    for package in CLASSES:
        for value in _classes(package):
            _bind(value, f"kt.{package.__name__.rpartition('.')[2]}")
    for module, place, names in (
        (keras.optimizers, "keras.optimizers", KERAS_OPTIMIZERS),
        (keras.optimizers.schedules, "keras.schedules", KERAS_SCHEDULES),
        (keras.initializers, "keras.initializers", KERAS_INITIALIZERS),
        (keras.regularizers, "keras.regularizers", KERAS_REGULARIZERS),
    ):
        for name in names:
            _bind(getattr(module, name), place)


def bind_name(configurable: Callable, module: str, name: str) -> None:
    """Registers a function or class of a module of the user's, unless it is registered."""
    if not _is_bound(f"{module}.{name}"):
        gin.external_configurable(configurable, name, module)


def known_names() -> list[str]:
    """What `bind` has registered, in alphabetical order."""
    return sorted(set(_NAMES), key=str.lower)


def parameters_of(name: str) -> list[str]:
    """The parameters of what goes by a name."""
    return list(inspect.signature(gin.get_configurable(name)).parameters)


def _classes(package: ModuleType) -> list[type]:
    """The public classes of a package."""
    listed = (getattr(package, name) for name in package.__all__)
    return [value for value in listed if inspect.isclass(value)]


def _bind(configurable: Callable, module: str, given: Iterable[str] = GIVEN) -> None:
    """Registers a function or class, but for the arguments that are given."""
    takes = inspect.signature(configurable).parameters
    denied = [name for name in given if name in takes]
    _NAMES.append(configurable.__name__)
    gin.external_configurable(configurable, module=module, denylist=denied or None)


def _is_bound(name):
    try:
        gin.get_configurable(name)
    except ValueError:
        return False
    return True
