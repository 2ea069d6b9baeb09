"""What a level of `RewindTrainer` takes beyond its training steps."""

import argparse
import time

import keras
from rich.table import Table

import keras_tickets as kt
from benchmarks.subjects import MODELS, batches, sgd
from benchmarks.timing import spread
from keras_tickets import models

EPOCHS = 4


class StepTime(keras.callbacks.Callback):
    """The time between the first step of each epoch and its last, added up."""

    def __init__(self):
        super().__init__()
        self.seconds = 0.0

    def on_epoch_begin(self, epoch, logs=None):
        self._start = self._end = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self._end = time.perf_counter()
        self.seconds += self._end - self._start
        self._start = self._end


def benchmark_levels(name: str, options: argparse.Namespace) -> tuple[Table, dict]:
    """Trains, prunes and rewinds; the steps take as long as those of `train` at as many a call."""
    steps = options.steps or MODELS[name][2]
    each_call = options.steps_per_execution[-1]
    trainer = kt.trainers.RewindTrainer(
        getattr(models, name)(seed=0), levels=options.rounds, rewind_to=0
    )
    trainer.compile(
        sgd(),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        steps_per_execution=each_call,
    )
    clocks = []

    def callbacks(directory):
        clocks.append(StepTime())
        return clocks[-1:]

    data = batches(name).cache().repeat().prefetch(4)
    trainer.fit(
        lambda epoch: data, epochs=EPOCHS, steps_per_epoch=steps, callbacks=callbacks, verbose=0
    )
    # Level 0 traces.
    levels = [row["seconds"] for row in trainer.results][1:]
    training = [clock.seconds for clock in clocks][1:]
    beyond = [level - steps for level, steps in zip(levels, training, strict=True)]
    shares = [part / level for part, level in zip(beyond, levels, strict=True)]
    table = Table(
        title=f"{name}: {options.rounds} levels of {EPOCHS} epochs of {steps} steps, "
        f"{each_call} a call"
    )
    for column in ("level, s", "training steps, s", "beyond, s", "beyond, %"):
        table.add_column(column, justify="right")
    table.add_row(spread(levels), spread(training), spread(beyond), spread(shares, 100, 1))
    table.caption = "Beyond: pruning, files, a checkpoint after each epoch, the start of `fit`."
    return table, {"level": levels, "training": training, "beyond": beyond}
