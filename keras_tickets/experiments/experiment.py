"""What the training binary trains: a model, a data set and how."""

import contextlib
import dataclasses
import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_tickets import data
from keras_tickets._checks import (
    check_flag,
    check_integer,
    check_number,
    check_one_of,
    check_text,
)
from keras_tickets.data.hold_out import count_held_out
from keras_tickets.data.named import as_source
from keras_tickets.experiments import strategies, task, training_length
from keras_tickets.experiments.procedures.fit import Fit
from keras_tickets.experiments.procedures.procedure import Procedure
from keras_tickets.masks import masked_kernels
from keras_tickets.model import SparseModel
from keras_tickets.plan import SparsityPlan, summary

PRECISIONS = ("bfloat16", "float16")


@dataclasses.dataclass
class Experiment:
    """A model, a data set, and how to train one on the other.

    Attributes:
        dataset: Name of a data set of `kt.data`, a `kt.data.Source`, or an object as
            `kt.data.BatchSource` says.
        model: Called with those of `input_shape`, `classes` (or `outputs`) and `seed` that it
            takes; returns a built Keras model that gives logits, or numbers. The functions in
            `kt.models` fit.
        optimizer: Called without arguments; returns the optimizer, sparse or plain.
        epochs: Number of epochs.
        batch_size: Examples per step, over all replicas.
        steps_per_epoch: Steps per epoch. None: as many as the data set has.
        validation: Share of the training set, in [0, 1), that is held out, drawn from the seed:
            everything that is chosen is chosen on it, and the test set is evaluated once, at the
            end. 0: none, and figures called validation are of the test set.
        filters: As in `kt.sparsify`.
        seed: Seed of initial weights, masks, order, augmentation and of what the optimizer draws.
        steps_per_execution: Steps per call of the training graph.
        jit_compile: Whether to compile the training step with XLA.
        strategy: What shares each batch: "none", "mirrored" (the GPUs of the machine),
            "multi_worker" (several processes) or "tpu"; see docs/scaling.md.
        replicas: With "mirrored", how many GPUs are used, or without a GPU how many parts of the
            processor stand in for them. None: all GPUs.
        procedure: What is done: an object of `keras_tickets.experiments.procedures`, by default one
            training of all weights.
        name: Name of the experiment. None: data set and method, as in "digits/rigl".
        loss: A Keras loss, its name, a class of losses, or `loss(targets, outputs)`. None: that of
            the targets, on logits: crossentropy of classes, of yes or no, or mean squared error.
        metrics: Names of Keras's, functions and classes. None: accuracy, or mean absolute error.
        callbacks: Classes or functions that make callbacks; each training gets its own, called
            before what saves an epoch.
        stretch: How many times as long as its recipe this training is; `epochs` are already
            stretched. A point in training that is not is warned of.
        mixed_precision: "bfloat16" or "float16" to compute in, while variables stay float32. None:
            Keras's policy.
        label_smoothing: Share of the labels, in [0, 1), that the usual loss of classes spreads
            evenly over all classes.
        source: The data set, described; made of `dataset`.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: An argument is unknown or out of range.

    Example:

    ```python
    import keras
    import keras_tickets as kt
    from keras_tickets.experiments.experiment import Experiment
    from keras_tickets.experiments.procedures import Fit
    from keras_tickets.experiments.starts import Sparsified

    experiment = Experiment(
        dataset="digits",
        model=kt.models.lenet_300_100,
        optimizer=lambda: kt.optimizers.RigL(keras.optimizers.SGD(0.1)),
        epochs=2,
        procedure=Fit(Sparsified(0.9)),
    )
    print(experiment.plan())
    ```
    """

    dataset: Any
    model: Callable[..., keras.Model]
    optimizer: Callable[[], keras.optimizers.Optimizer]
    epochs: int
    batch_size: int = 128
    steps_per_epoch: int | None = None
    validation: float = 0.0
    filters: str | list[str] | Callable[[str], bool] | None = None
    seed: int = 0
    steps_per_execution: int = 1
    jit_compile: bool = False
    strategy: str = "none"
    replicas: int | None = None
    procedure: Procedure = dataclasses.field(default_factory=Fit)
    name: str | None = None
    loss: Any = None
    metrics: Sequence[Any] | None = None
    callbacks: Sequence[Callable[[], keras.callbacks.Callback]] = ()
    stretch: float = 1.0
    mixed_precision: str | None = None
    label_smoothing: float = 0.0

    def __post_init__(self):
        self.source = as_source(self.dataset)
        for name in ("model", "optimizer"):
            _check_makes(name, getattr(self, name))
        task.check_metrics(self.metrics)
        if not isinstance(self.callbacks, list | tuple):
            raise TypeError(f"`callbacks` must be a list. Received: callbacks={self.callbacks!r}")
        for one in self.callbacks:
            _check_makes("callbacks", one)
        for name in ("epochs", "batch_size", "steps_per_execution"):
            check_integer(name, getattr(self, name), low=1)
        if self.steps_per_epoch is not None:
            check_integer("steps_per_epoch", self.steps_per_epoch, low=1)
        check_number("validation", self.validation, "[0, 1)")
        check_integer("seed", self.seed, 0, 2**31 - 1)
        check_flag("jit_compile", self.jit_compile)
        strategies.check_settings(self.strategy, self.replicas)
        check_number("stretch", self.stretch, "(0, inf)")
        check_number("label_smoothing", self.label_smoothing, "[0, 1)")
        if self.mixed_precision is not None:
            check_one_of("mixed_precision", self.mixed_precision, PRECISIONS)
        if isinstance(self.procedure, type) or not isinstance(self.procedure, Procedure):
            raise TypeError(
                "`procedure` must be an object of keras_tickets.experiments.procedures; in a gin "
                "file, @tickets() or @distill(), with parentheses. Received: "
                f"procedure={self.procedure!r}"
            )
        if self.name is not None:
            check_text("name", self.name)

    @property
    def examples(self) -> int | None:
        """Number of training examples that are not held out; `None` where it is not known."""
        size = self.source.examples
        return size if size is None else size - count_held_out(size, self.validation)

    @property
    def total_steps(self) -> int:
        """Training steps from the first epoch to the last.

        Raises:
            ValueError: The data set does not say how many examples it has.
        """
        steps = self.steps_per_epoch
        if steps is None:
            if self.examples is None:
                raise ValueError(
                    f"`steps_per_epoch` must be given for data set {self.source.name!r}, which "
                    "does not say how many training examples it has. Received: steps_per_epoch=None"
                )
            steps = self.examples // self.batch_size
        return self.epochs * max(steps, 1)

    def dense_model(self) -> keras.Model:
        """The model before any weight is masked.

        Raises:
            TypeError: `model` cannot be called so, or makes something else.
            ValueError: It does not fit the data set and the loss, or could not be loaded again.
        """
        given = {
            "input_shape": tuple(self.source.inputs.shape),
            "classes": self.source.outputs,
            "outputs": self.source.outputs,
            "seed": self.seed,
        }
        taken = {name: given[name] for name in _taken(self.model, given)}
        try:
            model = self.model(**taken)
        except TypeError as error:
            raise TypeError(
                f"`model` cannot be called with {', '.join(taken) or 'nothing'}: {error}"
            ) from error
        if not isinstance(model, keras.Model):
            raise TypeError(f"`model` must make a Keras model. Received: {type(model).__name__}")
        task.check_fits(self.source, model, self.make_loss(), self.metrics or ())
        task.check_loads(model)
        return model

    def plan(self) -> SparsityPlan:
        """What will be masked, before any training."""
        return self.procedure.plan(self)

    def plan_of(self, model: SparseModel) -> SparsityPlan:
        """The masked kernels of the trained model; where none is masked, those that could be."""
        return summary(model) if masked_kernels(model) else self.plan()

    def in_words(self) -> dict[str, Any]:
        """The settings by name, as far as they are the same in every process: for a comparison."""
        plain = str | int | float | bool | None
        settings = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        return {
            name: value if isinstance(value, plain) else _name_of(value)
            for name, value in settings.items()
        }

    def distribution(self) -> tf.distribute.Strategy:
        """The strategy, made once in this process.

        Raises:
            ValueError: It cannot be had here, or its replicas do not divide the batch.
        """
        strategy = strategies.make(self.strategy, self.replicas)
        strategies.check_batch(self.batch_size, strategy, self.strategy)
        return strategy

    @contextlib.contextmanager
    def strategy_scope(self) -> Iterator[None]:
        """The scope of the strategy and precision, under which models and optimizers are made."""
        with contextlib.ExitStack() as scopes:
            if self.mixed_precision:
                policy = keras.config.dtype_policy()
                scopes.callback(keras.config.set_dtype_policy, policy)
                keras.config.set_dtype_policy(f"mixed_{self.mixed_precision}")
            scopes.enter_context(self.distribution().scope())
            yield

    def make_optimizer(self) -> keras.optimizers.Optimizer:
        """The optimizer, for this length of training and with the experiment's seed.

        Raises:
            TypeError: `optimizer` makes something else.
            ValueError: Its learning rate is no number.

        Warns:
            UserWarning: The learning rate follows a schedule of another length, or a point in
                training is not stretched.
        """
        optimizer = self._optimizer_for(self.total_steps)
        if not isinstance(optimizer, keras.optimizers.Optimizer):
            raise TypeError(
                f"`optimizer` must make a Keras optimizer. Received: {type(optimizer).__name__}"
            )
        core = getattr(optimizer, "core_optimizer", optimizer)
        try:
            float(tf.convert_to_tensor(core.learning_rate))
        except Exception as error:  # whatever TensorFlow makes of the arguments of a schedule
            raise ValueError(f"`optimizer`: its learning rate is no number: {error}") from error
        training_length.warn_of_other_length(core, self.total_steps)
        if self.stretch != 1:
            recipe = self._optimizer_for(max(round(self.total_steps / self.stretch), 1))
            training_length.warn_of_unstretched(optimizer, recipe)
        if hasattr(optimizer, "seed"):
            optimizer.seed = self.seed
        return optimizer

    def _optimizer_for(self, steps):
        with training_length.training_of(steps):
            return self.optimizer()

    def compile(self, model: keras.Model) -> None:
        """Compiles a model or a trainer for the experiment."""
        loss = self.make_loss()
        model.compile(
            self.make_optimizer(),
            loss,
            metrics=task.metrics_for(self.source, self.metrics, loss),
            steps_per_execution=self.steps_per_execution,
            jit_compile=self.jit_compile,
        )

    def make_loss(self) -> Callable:
        """The loss that is trained."""
        return task.loss_for(self.source, self.loss, self.label_smoothing)

    def make_callbacks(self) -> list[keras.callbacks.Callback]:
        """The user's callbacks, made anew.

        Raises:
            TypeError: One of them makes something else.
        """
        made = [make() for make in self.callbacks]
        for one in made:
            if not isinstance(one, keras.callbacks.Callback):
                raise TypeError(
                    f"`callbacks` must make Keras callbacks. Received: {type(one).__name__}"
                )
        return made

    def load_data(self) -> data.Batches:
        """The data set, in memory or opened."""
        return self.source.load(
            batch_size=self.batch_size,
            seed=self.seed,
            steps_per_epoch=self.steps_per_epoch,
            validation=self.validation,
        )


def _check_makes(name: str, value: Any) -> None:
    """Checks that a setting makes something, and is not what it would make."""
    made = isinstance(value, keras.layers.Layer | keras.callbacks.Callback)
    if made or not callable(value):
        raise TypeError(
            f"`{name}` must be a function or class; in a gin file, write its name with `@` "
            f"and without parentheses. Received: {name}={value!r}"
        )


def _name_of(value: Any) -> str:
    return getattr(value, "__qualname__", type(value).__qualname__)


def _taken(function: Callable, names: Iterable[str]) -> list[str]:
    """Those of the names that a function takes; one that takes any takes those of `kt.models`."""
    parameters = inspect.signature(function).parameters
    takes_any = any(one.kind is one.VAR_KEYWORD for one in parameters.values())
    return [name for name in names if name in parameters or takes_any and name != "outputs"]
