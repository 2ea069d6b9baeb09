"""`Fit`: one training."""

import dataclasses
import re
from typing import TYPE_CHECKING, Any

import keras

from keras_tickets.callbacks import Checkpoint, StopOnNaN
from keras_tickets.experiments.procedures.procedure import Run
from keras_tickets.experiments.procedures.summary import summarize
from keras_tickets.experiments.procedures.time_left import TimeLeft
from keras_tickets.experiments.procedures.watching import watchers
from keras_tickets.experiments.starts import Dense, Pruned, Start
from keras_tickets.experiments.work_directory import WorkDirectory
from keras_tickets.initializers import SparseVarianceScaling, initialize
from keras_tickets.model import SparseModel
from keras_tickets.plan import SparsityPlan

if TYPE_CHECKING:
    from keras_tickets.experiments.experiment import Experiment


@dataclasses.dataclass(frozen=True)
class Fit:
    """Trains the experiment's model once, epoch by epoch, from wherever it was interrupted.

    Attributes:
        start: How the model starts.
        initializer: Draws the masked kernels anew, as `kt.initializers.initialize` does. None: they
            keep what the model started with.
    """

    start: Start = Dense()
    initializer: SparseVarianceScaling | None = None

    def __post_init__(self):
        if self.initializer is not None and not isinstance(self.initializer, SparseVarianceScaling):
            raise TypeError(
                "`initializer` must be a kt.initializers.SparseVarianceScaling. Received: "
                f"initializer={self.initializer!r}"
            )

    def plan(self, experiment: "Experiment") -> SparsityPlan:
        return self.start.plan(experiment)

    def extends(self, name: str, before: Any, now: Any) -> bool:
        return False

    def make(self, experiment: "Experiment", directory: WorkDirectory) -> SparseModel:
        """The compiled model, made under the scope of the strategy."""
        with experiment.strategy_scope():
            model = self.start.sparse(experiment, experiment.dense_model())
            if self.initializer is not None:
                self.initializer.seed = experiment.seed
                initialize(model, self.initializer)
            experiment.compile(model)
        return model

    def run(self, made: SparseModel, run: Run) -> dict:
        model, experiment, dataset, directory = made, run.experiment, run.dataset, run.directory
        checkpoint = Checkpoint(directory.checkpoints)
        start = checkpoint.initial_epoch
        if start and run.workers.writes:
            print(f"Resuming {directory.path} after epoch {start}.")
        steps = experiment.epochs * dataset.steps_per_epoch
        model.fit(
            dataset.train(start_epoch=start),
            steps_per_epoch=dataset.steps_per_epoch,
            initial_epoch=start,
            epochs=experiment.epochs,
            validation_data=run.chosen_on(),
            shuffle=False,
            callbacks=[
                StopOnNaN(),
                *experiment.make_callbacks(),
                *watchers(run, model, gradients=True),
                checkpoint,
                _MetricsFile(directory, checkpoint, dataset.steps_per_epoch),
                TimeLeft(directory, steps, run.verbose).callback(dataset.steps_per_epoch),
            ],
            verbose=run.verbose,
        )
        if not checkpoint.epochs:
            raise ValueError(
                "no epoch ended with a loss and weights that are finite: nothing was saved"
            )
        results = model.evaluate(dataset.test(), verbose=0, return_dict=True)
        directory.save_model(model)
        scored = self.start.scored_examples if isinstance(self.start, Pruned) else 0
        method = self._method(model)
        # A callback may have stopped the training early.
        taken = (checkpoint.epochs[-1] + 1) * dataset.steps_per_epoch
        summary = summarize(run, model, method, results, taken, checkpoint.seconds, scored)
        if model.optimizer.track_exploration:
            summary["exploration"] = model.optimizer.exploration
        return summary

    def _method(self, model) -> str:
        """Name of the training method, as in the name of its configuration."""
        if isinstance(self.start, Dense):
            return "dense"
        if isinstance(self.start, Pruned):
            return self.start.scores.__name__
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
