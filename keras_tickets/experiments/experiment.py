"""What the training binary trains: a model, a data set and how."""

import dataclasses
import functools
from collections.abc import Callable

import keras
import tensorflow as tf

from keras_tickets import data, scoring, structures
from keras_tickets._kernels.paths import weight_paths
from keras_tickets.analysis import random_masks
from keras_tickets.experiments.procedures import Distill, Fit, Tickets
from keras_tickets.initializers import SparseVarianceScaling, initialize
from keras_tickets.masks import masked_kernels
from keras_tickets.model import SparseModel, sparsify
from keras_tickets.plan import SparsityPlan, plan, summary
from keras_tickets.pruning import prune
from keras_tickets.tickets import Ticket, load_ticket

TICKET_STARTS = ("weights", "masks", "random_masks")
OF_ONE_TRAINING = ("sparsity", "structure", "scores", "ticket", "initializer")
STRATEGIES = {"none": tf.distribute.get_strategy, "mirrored": tf.distribute.MirroredStrategy}


@dataclasses.dataclass
class Experiment:
    """A model, a data set, and how to train one on the other.

    Attributes:
        dataset: Name of a data set of `kt.data`.
        model: Called as `model(input_shape=..., classes=..., seed=...)`; returns a built Keras
            model that gives logits. The functions in `kt.models` fit.
        optimizer: Called without arguments; returns the optimizer, sparse or plain.
        epochs: Number of epochs.
        batch_size: Examples per step, over all replicas.
        steps_per_epoch: Steps per epoch. None: as many as the data set has.
        sparsity: As in `kt.sparsify`. None: the model is trained dense.
        distribution: As in `kt.sparsify`.
        filters: As in `kt.sparsify`.
        structure: As in `kt.sparsify`.
        mask: As in `kt.sparsify`.
        scores: A function of `kt.scoring` by which `kt.prune` makes the first masks, instead of
            `distribution`, `structure` and `mask`. Seed, examples and loss are passed to those
            functions that take them.
        scope: With `scores`, as in `kt.prune`.
        iterations: With `scores`, as in `kt.prune`.
        score_examples: Training examples that scores are computed from.
        ticket: File of a ticket that the first masks are taken from, instead of `sparsity` and what
            belongs to it.
        ticket_start: What else is taken: "weights", the ticket's; "masks", nothing, the model keeps
            its own weights, which `seed` draws (at the seed of a ticket rewound to step 0 they are
            the ticket's); "random_masks", nothing, and the masks are random ones with as many
            weights in each kernel.
        initializer: Draws the masked kernels anew, as `kt.initializers.initialize` does. None: they
            keep what the model started with.
        seed: Seed of initial weights, masks, order, augmentation and of what the optimizer draws.
        steps_per_execution: Steps per call of the training graph.
        jit_compile: Whether to compile the training step with XLA.
        strategy: "none", or "mirrored" for all GPUs of the machine.
        procedure: What is done: an object of `keras_tickets.experiments.procedures`, by default one
            training.
        name: Name of the experiment. None: data set and method, as in "digits/rigl".

    Raises:
        TypeError: `model` or `optimizer` cannot be called.
        ValueError: `dataset`, `strategy` or `ticket_start` is unknown, a number is not a positive
            integer, or arguments exclude each other.

    Example:

    ```python
    import keras
    import keras_tickets as kt
    from keras_tickets.experiments.experiment import Experiment

    experiment = Experiment(
        dataset="digits",
        model=kt.models.lenet_300_100,
        optimizer=lambda: kt.optimizers.RigL(keras.optimizers.SGD(0.1)),
        epochs=2,
        sparsity=0.9,
    )
    print(experiment.plan())
    ```
    """

    dataset: str
    model: Callable[..., keras.Model]
    optimizer: Callable[[], keras.optimizers.Optimizer]
    epochs: int
    batch_size: int = 128
    steps_per_epoch: int | None = None
    sparsity: float | dict[str, float] | None = None
    distribution: str | object = "erk"
    filters: str | list[str] | Callable[[str], bool] | None = None
    structure: structures.Structure | None = None
    mask: str = "random"
    scores: Callable[..., dict] | None = None
    scope: str = "global"
    iterations: int = 1
    score_examples: int = 1000
    ticket: str | None = None
    ticket_start: str = "weights"
    initializer: SparseVarianceScaling | None = None
    seed: int = 0
    steps_per_execution: int = 1
    jit_compile: bool = False
    strategy: str = "none"
    procedure: Fit | Tickets | Distill = dataclasses.field(default_factory=Fit)
    name: str | None = None

    def __post_init__(self):
        data.describe(self.dataset)
        if self.strategy not in STRATEGIES:
            raise ValueError(
                f"`strategy` must be one of {', '.join(STRATEGIES)}, got {self.strategy!r}."
            )
        if self.ticket_start not in TICKET_STARTS:
            raise ValueError(
                f"`ticket_start` must be one of {', '.join(TICKET_STARTS)}, got "
                f"{self.ticket_start!r}."
            )
        if self.ticket is not None and self.sparsity is not None:
            raise ValueError(
                f"`sparsity` and `ticket` exclude each other, got {self.sparsity!r} and "
                f"{self.ticket!r}."
            )
        given = [name for name in OF_ONE_TRAINING if getattr(self, name) is not None]
        if given and not isinstance(self.procedure, Fit):
            raise ValueError(
                f"`{given[0]}` is of a single training, and {type(self.procedure).__name__} starts "
                f"from the dense model, got {getattr(self, given[0])!r}."
            )
        for name in ("epochs", "steps_per_execution", "iterations", "score_examples"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"`{name}` must be an integer of at least 1, got {value!r}.")
        for name in ("model", "optimizer"):
            if not callable(getattr(self, name)):
                raise TypeError(
                    f"`{name}` must be a function or class, got {getattr(self, name)!r}; in a gin "
                    "file, write its name with `@` and without parentheses."
                )

    def dense_model(self) -> keras.Model:
        """The model before any weight is masked."""
        description = data.describe(self.dataset)
        return self.model(
            input_shape=description.input_shape, classes=description.classes, seed=self.seed
        )

    def plan(self) -> SparsityPlan:
        """What will be masked: the dry run of `sparse_model`."""
        if self.ticket is not None or (self.sparsity is not None and self.scores is not None):
            return summary(self._sparse(self.dense_model()))
        return plan(
            self.dense_model(),
            self.sparsity or 0.0,
            distribution=self.distribution,
            structure=self.structure,
            filters=self.filters,
        )

    def strategy_scope(self):
        """The scope of the strategy, under which models and optimizers are made."""
        return STRATEGIES[self.strategy]().scope()

    def sparse_model(self) -> SparseModel:
        """The compiled model that is trained, made under the scope of the strategy."""
        with self.strategy_scope():
            model = self._sparse(self.dense_model())
            self.compile(model)
        return model

    def compile(self, model: keras.Model) -> None:
        """Compiles a model or a trainer for the experiment."""
        optimizer = self.optimizer()
        if hasattr(optimizer, "seed"):
            optimizer.seed = self.seed
        model.compile(
            optimizer,
            _loss(),
            metrics=["accuracy"],
            steps_per_execution=self.steps_per_execution,
            jit_compile=self.jit_compile,
        )

    def _sparse(self, model: keras.Model) -> SparseModel:
        if self.sparsity is None and self.ticket is None:
            return SparseModel(model)
        if self.ticket is not None:
            model = self._from_ticket(model)
        elif self.scores is None:
            model = sparsify(
                model,
                self.sparsity,
                distribution=self.distribution,
                structure=self.structure,
                filters=self.filters,
                mask=self.mask,
                seed=self.seed,
            )
        else:
            model = prune(
                model,
                self._scorer(),
                self.sparsity,
                scope=self.scope,
                iterations=self.iterations,
                filters=self.filters,
            )
        if self.initializer is not None:
            self.initializer.seed = self.seed
            initialize(model, self.initializer)
        return model

    def _from_ticket(self, model: keras.Model) -> SparseModel:
        ticket = load_ticket(self.ticket)
        if self.ticket_start == "weights":
            return ticket.apply(model)
        masks = ticket.masks
        if self.ticket_start == "random_masks":
            masks = random_masks(masks, self.seed)
        own = {path: weight.numpy() for path, weight in weight_paths(model).items()}
        return Ticket(masks, own).apply(model)

    def _scorer(self) -> Callable[[keras.Model], dict]:
        takes = scoring.takes(self.scores)
        arguments = {"seed": self.seed} if "seed" in takes else {}
        if "x" in takes:
            examples = self.load_data().train().unbatch().batch(self.score_examples)
            x, y = next(iter(examples))
            arguments |= {"x": x, "y": y, "loss": _loss()}
        return functools.partial(self.scores, **arguments)

    def load_data(self) -> data.Dataset:
        """The data set, in memory."""
        return data.load(
            self.dataset,
            self.batch_size,
            seed=self.seed,
            steps_per_epoch=self.steps_per_epoch,
        )

    def plan_of(self, model: SparseModel) -> SparsityPlan:
        """The masked kernels of the trained model; where none is masked, those that could be."""
        return summary(model) if masked_kernels(model) else self.plan()


def _loss() -> keras.losses.Loss:
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)
