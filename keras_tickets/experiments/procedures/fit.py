"""`Fit`: one training."""

import re

import keras

from keras_tickets.callbacks import Checkpoint, StopOnNaN
from keras_tickets.experiments.procedures.summary import summarise
from keras_tickets.experiments.work_directory import WorkDirectory


class Fit:
    """Trains the experiment's model once, epoch by epoch, from wherever it was interrupted."""

    extendable = ()

    def make(self, experiment, directory: WorkDirectory) -> keras.Model:
        """The compiled model."""
        return experiment.sparse_model()

    def run(self, experiment, model, dataset, directory: WorkDirectory, verbose) -> dict:
        """Trains the model and saves it; returns the summary."""
        checkpoint = Checkpoint(directory.checkpoints)
        start = checkpoint.initial_epoch
        if start:
            print(f"Resuming {directory.path} after epoch {start}.")
        model.fit(
            dataset.train(start_epoch=start),
            steps_per_epoch=dataset.steps_per_epoch,
            initial_epoch=start,
            epochs=experiment.epochs,
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
        if not checkpoint.epochs:
            raise ValueError(
                "no epoch ended with a loss and weights that are finite: nothing was saved"
            )
        results = model.evaluate(dataset.test(), verbose=0, return_dict=True)
        directory.save_model(model)
        steps = experiment.epochs * dataset.steps_per_epoch
        method = _method(experiment, model)
        summary = summarise(experiment, model, method, results, steps, checkpoint.seconds)
        if model.optimizer.track_exploration:
            summary["exploration"] = model.optimizer.exploration
        return summary


def _method(experiment, model) -> str:
    """Name of the training method, as in the name of its configuration."""
    if experiment.sparsity is None and experiment.ticket is None:
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
