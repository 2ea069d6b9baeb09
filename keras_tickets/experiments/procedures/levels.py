"""What procedures with levels of pruning have in common."""

import pathlib
from collections.abc import Callable, Sequence

import tensorflow as tf

from keras_tickets.callbacks import StopOnNaN
from keras_tickets.experiments.procedures.level_lengths import LevelLengths
from keras_tickets.experiments.procedures.procedure import Run
from keras_tickets.experiments.procedures.summary import summarize
from keras_tickets.experiments.procedures.time_left import TimeLeft
from keras_tickets.experiments.procedures.watching import watchers
from keras_tickets.trainers import RewindTrainer
from keras_tickets.trainers.level_store import LevelStore
from keras_tickets.trainers.state import network_of
from keras_tickets.training_cost import level_masks


def run_levels(
    trainer: RewindTrainer,
    run: Run,
    batches: Callable[[int], tf.data.Dataset],
    last: RewindTrainer | None = None,
) -> None:
    """Runs the levels of a trainer that are missing.

    Args:
        trainer: Compiled trainer with the work directory as its store.
        run: The run.
        batches: Function from an epoch to the training batches from there on.
        last: The trainer with the last levels of the run. None: this one.
    """
    directory, lengths = run.directory, LevelLengths(last or trainer, run)
    left = TimeLeft(directory, lengths.total, run.verbose)

    def callbacks(level):
        place = pathlib.Path(level).relative_to(directory.path)
        left_of_it = left.callback(
            run.dataset.steps_per_epoch, lengths.before(), lengths.start_of(place.name)
        )
        return [
            StopOnNaN(),
            *run.experiment.make_callbacks(),
            *watchers(run, trainer.model, place),
            left_of_it,
        ]

    trainer.fit(
        batches,
        epochs=run.experiment.epochs,
        steps_per_epoch=run.dataset.steps_per_epoch,
        validation_data=run.chosen_on(),
        callbacks=callbacks,
        verbose=run.verbose,
    )


def level_summary(trainers: Sequence[RewindTrainer], run: Run, method: str) -> dict:
    """Writes `metrics.csv`, a row for each level; returns the summary, with `levels`.

    Args:
        trainers: The trainers of the levels, all done; the first of them that has a level
            evaluates it.
        run: The run.
        method: Name of the method.
    """
    last = trainers[-1]
    rows = last.results
    if run.dataset.held_out:
        levels = [_tested(row, trainers, run) for row in rows]
    else:
        levels = [_of_test(row) for row in rows]
    columns = [name for name in levels[0] if name not in ("controls", "ticket")]
    run.directory.write_metrics(columns, [[row[name] for name in columns] for row in levels])
    runs = [one for row in levels for one in (row, *row.get("controls", {}).values())]
    steps, seconds = (sum(one[name] for one in runs) for name in ("steps", "seconds"))
    results = {
        name.removeprefix("test_"): value
        for name, value in levels[-1].items()
        if name.startswith("test_")
    }
    masks = level_masks(LevelStore(run.directory.path), rows)
    network = network_of(last.model)
    summary = summarize(run, network, method, results, steps, seconds, levels=masks)
    return {**summary, "levels": levels}


def _of_test(row: dict) -> dict:
    """A result whose validation metrics are of the test set, named so."""
    return {
        name.replace("val_", "test_"): (
            {control: _of_test(result) for control, result in value.items()}
            if name == "controls"
            else value
        )
        for name, value in row.items()
    }


def _tested(row: dict, trainers: Sequence[RewindTrainer], run: Run) -> dict:
    """A result with the metrics on the test set, of it and of its controls."""
    level = row["level"]
    trainer = next(one for one in trainers if level <= one.levels)
    controls = {
        name: {**result, **_test(trainer, level, name, run)}
        for name, result in row.get("controls", {}).items()
    }
    found = {**row, **_test(trainer, level, None, run)}
    return {**found, "controls": controls} if controls else found


def _test(trainer: RewindTrainer, level: int, control: str | None, run: Run) -> dict:
    """Metrics on the test set of what a level ended with; the trainer then has that network."""
    trainer.level_store.trained(level, control).apply(network_of(trainer.model))
    results = trainer.evaluate(run.dataset.test(), verbose=0, return_dict=True)
    return {f"test_{name}": value for name, value in results.items()}
