"""`Tickets`: lottery tickets by iterative magnitude pruning with rewinding."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

import keras

from keras_tickets.callbacks import StopOnNaN
from keras_tickets.experiments.procedures.summary import summarise
from keras_tickets.experiments.work_directory import WorkDirectory
from keras_tickets.model import with_full_masks
from keras_tickets.trainers import RewindTrainer
from keras_tickets.trainers.rewind import REWINDS


@dataclasses.dataclass
class Tickets:
    """Trains, prunes and rewinds the experiment's dense model, level by level.

    The levels are kept in the work directory, and more can be added to a finished one.

    Attributes:
        levels: As in `kt.trainers.RewindTrainer`, like all that follow.
        rate: Share of the remaining weights that goes at each level.
        rewind_to: The step k.
        scope: "global" or "local".
        rates: `{path regex: rate}` with `scope="local"`.
        rewind: What returns to step k.
        optimizer_state: "fresh" or "restore".
        data_order: "same" or "new".
        control: Names of controls.
        control_levels: The levels that get controls.
    """

    levels: int
    rate: float = 0.2
    rewind_to: int | float | str = "0it"
    scope: str = "global"
    rates: Mapping[str, float] | None = None
    rewind: Sequence[str] = REWINDS
    optimizer_state: str = "fresh"
    data_order: str = "same"
    control: str | Sequence[str] | None = None
    control_levels: Sequence[int] | None = None

    extendable = ("tickets.levels", "tickets.control", "tickets.control_levels")

    def make(self, experiment, directory: WorkDirectory) -> RewindTrainer:
        """The compiled trainer, whose store is the work directory."""
        with experiment.strategy_scope():
            network = with_full_masks(experiment.dense_model(), experiment.filters)
            trainer = RewindTrainer(
                network, store=directory.path, seed=experiment.seed, **vars(self)
            )
            experiment.compile(trainer)
        return trainer

    def run(self, experiment, trainer, dataset, directory: WorkDirectory, verbose) -> dict:
        """Runs the levels that are missing and saves the last network; returns the summary."""
        run_levels(experiment, trainer, directory, dataset, dataset.train, verbose)
        directory.save_model(trainer.model)
        return level_summary(experiment, trainer.model, "tickets", trainer.results, directory)


def run_levels(experiment, trainer, directory, dataset, batches, verbose) -> None:
    """Runs the levels of a trainer that are missing.

    Args:
        experiment: The `Experiment`.
        trainer: Compiled `RewindTrainer` with the work directory as its store.
        directory: The work directory.
        dataset: The data set.
        batches: Function from an epoch to the training batches from there on.
        verbose: As in `keras.Model.fit`.
    """

    def callbacks(level):
        place = pathlib.Path(level).relative_to(directory.path)
        logs = keras.callbacks.TensorBoard(directory.tensorboard / place, write_graph=False)
        return [StopOnNaN(), logs]

    trainer.fit(
        batches,
        epochs=experiment.epochs,
        steps_per_epoch=dataset.steps_per_epoch,
        validation_data=dataset.test(),
        callbacks=callbacks,
        verbose=verbose,
    )


def level_summary(experiment, model, method: str, results: list[dict], directory) -> dict:
    """Writes `metrics.csv`, a row for each level; returns the summary, with `levels`."""
    last = {"accuracy": results[-1]["val_accuracy"], "loss": results[-1]["val_loss"]}
    levels = [_of_test(row) for row in results]
    columns = [name for name in levels[0] if name not in ("controls", "ticket")]
    directory.write_metrics(columns, [[row[name] for name in columns] for row in levels])
    runs = [run for row in levels for run in (row, *row.get("controls", {}).values())]
    steps, seconds = (sum(run[name] for run in runs) for name in ("steps", "seconds"))
    summary = summarise(experiment, model, method, last, steps, seconds)
    return {**summary, "levels": levels}


def _of_test(row):
    """A level's result with its validation metrics named after the test set that they are of."""
    return {
        name.replace("val_", "test_"): (
            {control: _of_test(result) for control, result in value.items()}
            if name == "controls"
            else value
        )
        for name, value in row.items()
    }
