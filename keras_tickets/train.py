"""What `keras-tickets train` does: an experiment, from its description to a finished directory."""

import re
from collections.abc import Callable

import keras

from keras_tickets.callbacks import Checkpoint, StopOnNaN
from keras_tickets.experiment import Experiment
from keras_tickets.flops import flops
from keras_tickets.work_directory import WorkDirectory


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
    from keras_tickets.experiment import Experiment
    from keras_tickets.train import train

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
    start = checkpoint.initial_epoch
    if start:
        print(f"Resuming {directory.path} after epoch {start}.")
    _fit(model, dataset, range(start, experiment.epochs), directory, checkpoint, verbose)
    results = model.evaluate(dataset.test(), verbose=0, return_dict=True)
    directory.save_model(model)
    steps = experiment.epochs * dataset.steps_per_epoch
    return directory.finish(_summarise(experiment, model, results, steps, checkpoint.seconds))


def _fit(model, dataset, epochs: range, directory, checkpoint, verbose):
    model.fit(
        dataset.train(start_epoch=epochs.start),
        steps_per_epoch=dataset.steps_per_epoch,
        initial_epoch=epochs.start,
        epochs=epochs.stop,
        validation_data=dataset.test(),
        shuffle=False,
        callbacks=[
            StopOnNaN(),
            checkpoint,
            _MetricsFile(directory, checkpoint, dataset.steps_per_epoch),
            keras.callbacks.TensorBoard(directory.tensorboard, write_graph=False),
        ],
        verbose=verbose,
    )


def _summarise(experiment, model, results, steps, seconds) -> dict:
    method = _method(experiment, model)
    kernels, operations = experiment.plan_of(model), flops(model)
    explored = {}
    if model.optimizer.track_exploration:
        explored["exploration"] = model.optimizer.exploration
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
        **explored,
        "wall_seconds": seconds,
        "steps_per_second": steps / seconds,
    }


def _method(experiment, model) -> str:
    """Name of the training method, as in the name of its configuration."""
    if experiment.sparsity is None:
        return "dense"
    if experiment.scores is not None:
        return experiment.scores.__name__
    name = type(model.optimizer).__name__
    return re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", "_", name).lower()


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
