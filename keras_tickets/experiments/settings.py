"""The settings `train.…` of a configuration, and the experiment that they describe."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from keras_tickets._checks import check_integer, check_one_of
from keras_tickets.distributions import Distribution
from keras_tickets.experiments.experiment import Experiment
from keras_tickets.experiments.procedures import Fit, Procedure
from keras_tickets.experiments.starts import (
    TICKET_STARTS,
    Dense,
    FromTicket,
    Pruned,
    Sparsified,
    Start,
)
from keras_tickets.experiments.training_length import stretched
from keras_tickets.initializers import SparseVarianceScaling
from keras_tickets.optimizers.magnitude_pruning import SCOPES
from keras_tickets.scoring import Scores
from keras_tickets.structures import Structure


def train(
    dataset: Any,
    model: Callable[..., keras.Model],
    optimizer: Callable[[], keras.optimizers.Optimizer],
    epochs: int,
    batch_size: int = 128,
    steps_per_epoch: int | None = None,
    validation: float = 0.0,
    sparsity: float | Mapping[str, float] | None = None,
    distribution: str | Distribution = "erk",
    filters: str | list[str] | Callable[[str], bool] | None = None,
    structure: Structure | None = None,
    mask: str | None = None,
    scores: Callable[..., Scores] | None = None,
    scope: str = "global",
    iterations: int = 1,
    score_examples: int = 1000,
    ticket: str | None = None,
    ticket_start: str = "weights",
    initializer: SparseVarianceScaling | None = None,
    seed: int = 0,
    steps_per_execution: int = 1,
    jit_compile: bool = False,
    strategy: str = "none",
    replicas: int | None = None,
    procedure: Procedure | None = None,
    name: str | None = None,
    loss: Any = None,
    metrics: Sequence[Any] | None = None,
    callbacks: Sequence[Callable[[], keras.callbacks.Callback]] = (),
    stretch: float = 1.0,
    mixed_precision: str | None = None,
    label_smoothing: float = 0.0,
) -> Experiment:
    """The experiment that settings describe.

    Those that are not of `Experiment` are of a single training: of its `Start` and its initializer.
    `stretch` multiplies the `epochs`, and with them all that is a share of training.

    Raises:
        TypeError: A setting is of the wrong type.
        ValueError: A setting is unknown, out of range, or means nothing beside the others.
    """
    given = dict(locals())
    singly = {"sparsity": sparsity, "structure": structure, "scores": scores, "ticket": ticket}
    _check_single(procedure, {**singly, "initializer": initializer})
    pruned = (scope, iterations, score_examples)
    start = _start(sparsity, distribution, structure, mask, scores, pruned, ticket, ticket_start)
    given["epochs"] = stretched(epochs, stretch)
    given["procedure"] = Fit(start, initializer) if procedure is None else procedure
    return Experiment(**{field.name: given[field.name] for field in dataclasses.fields(Experiment)})


def _start(sparsity, distribution, structure, mask, scores, pruned, ticket, ticket_start) -> Start:
    scope, iterations, score_examples = pruned
    check_one_of("scope", scope, SCOPES)
    check_integer("iterations", iterations, low=1)
    check_integer("score_examples", score_examples, low=1)
    check_one_of("ticket_start", ticket_start, TICKET_STARTS)
    if scores is None:
        found = {"scope": scope, "iterations": iterations, "score_examples": score_examples}
        _check_unset("of pruning by `scores`, of which there are none", found)
    if ticket is None:
        _check_unset("of a `ticket`, and there is none", {"ticket_start": ticket_start})
    if sparsity is None or scores is not None:
        found = {"distribution": distribution, "mask": mask}
        _check_unset("of masks drawn for a `sparsity` alone", found)
    if ticket is not None:
        return FromTicket(ticket, ticket_start)
    if scores is not None:
        return Pruned(sparsity, scores, *pruned)
    if sparsity is not None:
        return Sparsified(sparsity, distribution, structure, mask)
    return Dense()


def _check_unset(what, found):
    """Checks that settings that mean nothing beside the others have their defaults."""
    defaults = inspect.signature(train).parameters
    for name, value in found.items():
        if value != defaults[name].default:
            raise ValueError(f"`{name}` is {what}. Received: {name}={value!r}")


def _check_single(procedure, settings):
    """Checks that the settings of a single training go with each other and with the procedure."""
    given = {name: value for name, value in settings.items() if value is not None}
    if procedure is not None and given:
        name, value = next(iter(given.items()))
        raise ValueError(
            f"`{name}` is of a single training, and {type(procedure).__name__} starts from the "
            f"dense model. Received: {name}={value!r}"
        )
    for name in ("sparsity", "structure", "scores"):
        if "ticket" in given and name in given:
            raise ValueError(
                f"`{name}` and `ticket` exclude each other. Received: {name}={given[name]!r}, "
                f"ticket={given['ticket']!r}"
            )
        if given and not {"ticket", "sparsity"} & set(given) and name in given:
            raise ValueError(
                f"`{name}` needs `sparsity`. Received: {name}={given[name]!r}, sparsity=None"
            )
