"""What `keras-tickets train` does: one experiment from its description to a finished directory."""

import dataclasses
from collections.abc import Callable

import keras
import tensorflow as tf

from keras_tickets import data
from keras_tickets.callbacks import Checkpoint, StopOnNaN
from keras_tickets.flops import flops
from keras_tickets.model import SparseModel, sparsify
from keras_tickets.plan import SparsityPlan, plan, summary
from keras_tickets.work_directory import WorkDirectory

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
        mask: As in `kt.sparsify`.
        seed: Seed of initial weights, masks, order, augmentation and of what the optimizer draws.
        steps_per_execution: Steps per call of the training graph.
        jit_compile: Whether to compile the training step with XLA.
        strategy: "none", or "mirrored" for all GPUs of the machine.
        name: Name of the experiment. None: data set and method, as in "digits/rigl".

    Raises:
        ValueError: `dataset` or `strategy` is unknown, or `epochs` is not a positive integer.

    Example:

    ```python
    import keras
    import keras_tickets as kt
    from keras_tickets.train import Experiment

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
    mask: str = "random"
    seed: int = 0
    steps_per_execution: int = 1
    jit_compile: bool = False
    strategy: str = "none"
    name: str | None = None

    def __post_init__(self):
        data.describe(self.dataset)
        if self.strategy not in STRATEGIES:
            raise ValueError(
                f"`strategy` must be one of {', '.join(STRATEGIES)}, got {self.strategy!r}."
            )
        for name in ("epochs", "steps_per_execution"):
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
        return plan(
            self.dense_model(),
            self.sparsity or 0.0,
            distribution=self.distribution,
            filters=self.filters,
        )

    def sparse_model(self) -> SparseModel:
        """The compiled model that is trained, made under the scope of the strategy."""
        with STRATEGIES[self.strategy]().scope():
            model = self.dense_model()
            if self.sparsity is None:
                model = SparseModel(model)
            else:
                model = sparsify(
                    model,
                    self.sparsity,
                    distribution=self.distribution,
                    filters=self.filters,
                    mask=self.mask,
                    seed=self.seed,
                )
            optimizer = self.optimizer()
            if hasattr(optimizer, "seed"):
                optimizer.seed = self.seed
            model.compile(
                optimizer,
                keras.losses.SparseCategoricalCrossentropy(from_logits=True),
                metrics=["accuracy"],
                steps_per_execution=self.steps_per_execution,
                jit_compile=self.jit_compile,
            )
        return model

    def load_data(self) -> data.Dataset:
        """The data set, in memory."""
        return data.load(
            self.dataset,
            self.batch_size,
            seed=self.seed,
            steps_per_epoch=self.steps_per_epoch,
        )


def train(
    experiment: Experiment,
    workdir: str,
    *,
    describe: Callable[[], str] = lambda: "",
    verbose: int | str = "auto",
) -> dict:
    """Runs an experiment in a work directory, or goes on with it.

    The directory gets `config.gin`, `checkpoints/`, `metrics.csv` (one row per epoch),
    `tensorboard/` and, when all is done, `model.keras` and `summary.json`. A run that was killed is
    resumed from its last finished epoch and ends as if it had not been killed; one that is finished
    is left as it is.

    Args:
        experiment: What to run.
        workdir: Directory of the run, made where it is missing. One that holds anything but a run
            of the same configuration is refused.
        describe: Called once the model and the optimizer are made; returns the configuration as
            text, one `name = value` a line, that is kept in `config.gin`.
        verbose: As in `keras.Model.fit`.

    Returns:
        The summary, as in `summary.json`.

    Raises:
        ValueError: The directory is of another configuration, a checkpoint is damaged, or the loss
            is NaN or infinite.
        OSError: The directory cannot be written.

    Example:

    ```python
    import keras
    import keras_tickets as kt
    from keras_tickets.train import Experiment, train

    experiment = Experiment("digits", kt.models.lenet_300_100, keras.optimizers.SGD, epochs=1)
    print(train(experiment, "runs/example")["test_accuracy"])
    ```
    """
    keras.utils.set_random_seed(experiment.seed)
    model = experiment.sparse_model()
    directory = WorkDirectory(workdir)
    config = describe()
    finished = directory.open(config)
    if finished is not None:
        print(f"{directory.path} is finished already; nothing to do.")
        return finished
    dataset = experiment.load_data()
    directory.begin(config)
    checkpoint = Checkpoint(directory.checkpoints)
    if checkpoint.initial_epoch:
        print(f"Resuming {directory.path} after epoch {checkpoint.initial_epoch}.")
    test = dataset.test()
    model.fit(
        dataset.train(start_epoch=checkpoint.initial_epoch),
        steps_per_epoch=dataset.steps_per_epoch,
        initial_epoch=checkpoint.initial_epoch,
        epochs=experiment.epochs,
        validation_data=test,
        shuffle=False,
        callbacks=[
            StopOnNaN(),
            checkpoint,
            _MetricsFile(directory, checkpoint, dataset.steps_per_epoch),
            keras.callbacks.TensorBoard(directory.tensorboard, write_graph=False),
        ],
        verbose=verbose,
    )
    results = model.evaluate(test, verbose=0, return_dict=True)
    directory.save_model(model)
    steps = experiment.epochs * dataset.steps_per_epoch
    return directory.finish(_summarise(experiment, model, results, steps, checkpoint.seconds))


def final_plan(experiment: Experiment, model: keras.Model) -> SparsityPlan:
    """The masked kernels of a trained model; where none is masked, those that could be.

    Args:
        experiment: What was trained.
        model: The trained model.

    Returns:
        The plan, with present counts.
    """
    return experiment.plan() if experiment.sparsity is None else summary(model)


def _summarise(experiment, model, results, steps, seconds) -> dict:
    optimizer = type(model.optimizer).__name__.lower()
    method = "dense" if experiment.sparsity is None else optimizer
    kernels, operations = final_plan(experiment, model), flops(model)
    return {
        "experiment": experiment.name or f"{experiment.dataset}/{method}",
        "dataset": experiment.dataset,
        "model": model.name,
        "method": method,
        "seed": experiment.seed,
        "epochs": experiment.epochs,
        "batch_size": experiment.batch_size,
        "steps": steps,
        "test_accuracy": results["accuracy"],
        "test_loss": results["loss"],
        "sparsity": kernels.sparsity,
        "nonzeros": kernels.nonzeros,
        "weights": sum(row.size for row in kernels.rows),
        "sparsity_all_weights": kernels.sparsity_all_weights,
        "inference_flops_ratio": operations.inference_ratio,
        "training_flops_ratio": operations.training_ratio,
        "wall_seconds": seconds,
        "steps_per_second": steps / seconds,
    }


class _MetricsFile(keras.callbacks.Callback):
    """Keeps `metrics.csv` equal to the history in the checkpoint."""

    def __init__(self, directory: WorkDirectory, checkpoint: Checkpoint, steps_per_epoch: int):
        super().__init__()
        self.directory, self.checkpoint = directory, checkpoint
        self.steps_per_epoch = steps_per_epoch

    def on_train_begin(self, logs=None):
        self._write()

    def on_epoch_end(self, epoch, logs=None):
        self._write()

    def _write(self):
        history = self.checkpoint.history
        rows = [
            (epoch + 1, (epoch + 1) * self.steps_per_epoch, *values)
            for epoch, *values in zip(self.checkpoint.epochs, *history.values(), strict=True)
        ]
        self.directory.write_metrics(("epoch", "step", *history), rows)
