"""How the network of a single training starts: dense, or sparse in one of three ways."""

import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import keras

from keras_tickets import scoring
from keras_tickets._checks import check_integer, check_one_of, check_text
from keras_tickets._kernels.paths import weight_paths
from keras_tickets.analysis import random_masks
from keras_tickets.bases.coefficient_masks import to_coefficients
from keras_tickets.distributions import Distribution
from keras_tickets.model import SparseModel, sparsify
from keras_tickets.optimizers.magnitude_pruning import SCOPES
from keras_tickets.plan import SparsityPlan, plan, summary
from keras_tickets.pruning import prune
from keras_tickets.structures import Structure
from keras_tickets.tickets import Ticket, load_ticket

if TYPE_CHECKING:
    from keras_tickets.experiments.experiment import Experiment

TICKET_STARTS = ("weights", "masks", "random_masks")


class Start(Protocol):
    """Makes a sparse model of an experiment's dense one."""

    def sparse(self, experiment: "Experiment", model: keras.Model) -> SparseModel:
        """The sparse model, not compiled."""
        ...

    def plan(self, experiment: "Experiment") -> SparsityPlan:
        """What will be masked."""
        ...


@dataclasses.dataclass(frozen=True)
class Dense:
    """All weights."""

    def sparse(self, experiment: "Experiment", model: keras.Model) -> SparseModel:
        return SparseModel(model)

    def plan(self, experiment: "Experiment") -> SparsityPlan:
        return plan(experiment.dense_model(), 0.0, filters=experiment.filters)


@dataclasses.dataclass(frozen=True)
class Sparsified:
    """Masks by a distribution of the sparsity, as `kt.sparsify` draws them.

    Attributes:
        sparsity: As in `kt.sparsify`, like all that follow.
        distribution: How it is shared among kernels.
        structure: Which sets of weights the masks may leave.
        mask: How the first masks are drawn.
    """

    sparsity: float | dict[str, float]
    distribution: str | Distribution = "erk"
    structure: Structure | None = None
    mask: str | None = None

    def sparse(self, experiment: "Experiment", model: keras.Model) -> SparseModel:
        return sparsify(
            model,
            self.sparsity,
            distribution=self.distribution,
            structure=self.structure,
            filters=experiment.filters,
            mask=self.mask,
            seed=experiment.seed,
        )

    def plan(self, experiment: "Experiment") -> SparsityPlan:
        return plan(
            experiment.dense_model(),
            self.sparsity,
            distribution=self.distribution,
            structure=self.structure,
            filters=experiment.filters,
        )


@dataclasses.dataclass(frozen=True)
class Pruned:
    """Masks by scores before training, as `kt.prune` makes them.

    Attributes:
        sparsity: As in `kt.prune`.
        scores: A function of `kt.scoring`. Seed, examples and loss are passed to those that take
            them.
        scope: As in `kt.prune`.
        iterations: As in `kt.prune`.
        examples: Training examples that scores are computed from.
    """

    sparsity: float
    scores: Callable[..., scoring.Scores]
    scope: str = "global"
    iterations: int = 1
    examples: int = 1000

    def __post_init__(self):
        if not callable(self.scores):
            raise TypeError(
                "`scores` must be a function; in a gin file, write its name with `@` and without "
                f"parentheses. Received: scores={self.scores!r}"
            )
        check_one_of("scope", self.scope, SCOPES)
        check_integer("iterations", self.iterations, low=1)
        check_integer("score_examples", self.examples, low=1)

    def sparse(self, experiment: "Experiment", model: keras.Model) -> SparseModel:
        return prune(
            model,
            self._scorer(experiment),
            self.sparsity,
            scope=self.scope,
            iterations=self.iterations,
            filters=experiment.filters,
        )

    def plan(self, experiment: "Experiment") -> SparsityPlan:
        return summary(self.sparse(experiment, experiment.dense_model()))

    @property
    def scored_examples(self) -> int:
        """Examples that weights are scored by; 0 for scores that need no data."""
        return self.iterations * self.examples if "x" in scoring.takes(self.scores) else 0

    def _scorer(self, experiment) -> Callable[[keras.Model], scoring.Scores]:
        takes = scoring.takes(self.scores)
        arguments = {"seed": experiment.seed} if "seed" in takes else {}
        if "x" in takes:
            check_integer("score_examples", self.examples, 1, experiment.examples)
            examples = experiment.load_data().train().unbatch().batch(self.examples)
            x, y = next(iter(examples))
            arguments |= {"x": x, "y": y, "loss": experiment.make_loss()}
        return functools.partial(self.scores, **arguments)


@dataclasses.dataclass(frozen=True)
class FromTicket:
    """Masks of a ticket.

    Attributes:
        ticket: Its file.
        takes: What else is taken: "weights", the ticket's; "masks", nothing, the model keeps its
            own weights, which the seed draws (at the seed of a ticket rewound to step 0 they are
            the ticket's); "random_masks", nothing, and the masks are random ones with as many
            weights in each kernel.
    """

    ticket: str
    takes: str = "weights"

    def __post_init__(self):
        check_text("ticket", self.ticket)
        check_one_of("ticket_start", self.takes, TICKET_STARTS)

    def sparse(self, experiment: "Experiment", model: keras.Model) -> SparseModel:
        ticket = load_ticket(self.ticket)
        if self.takes == "weights":
            return ticket.apply(model)
        masks = ticket.masks
        if self.takes == "random_masks":
            masks = random_masks(masks, experiment.seed)
        own = {path: weight.numpy() for path, weight in weight_paths(model).items()}
        own = to_coefficients(own, masks, ticket.basis)
        return Ticket(masks, own, basis=ticket.basis).apply(model)

    def plan(self, experiment: "Experiment") -> SparsityPlan:
        return summary(self.sparse(experiment, experiment.dense_model()))
