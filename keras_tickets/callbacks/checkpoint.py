"""Exact resuming of `fit`."""

import itertools
import math
import pathlib
import re
import time
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_tickets._checks import check_integer
from keras_tickets._files.atomic import remove_leftovers
from keras_tickets._files.checkpoints import (
    list_checkpoints,
    read_checkpoint,
    remove_old_checkpoints,
    write_checkpoint,
)
from keras_tickets._files.home import expand_home
from keras_tickets._files.schemas import check_schema
from keras_tickets._warnings import warn
from keras_tickets._workers.workers import Workers, count_workers
from keras_tickets.callbacks._batch_size import BatchSize

SCHEMA = {
    "epochs": [int],
    "history": {str: [float]},
    "seconds": float,
    "variables": [{"path": str, "shape": [int], "copies": int}],
}


class Checkpoint(keras.callbacks.Callback):
    """Saves everything that training depends on after each epoch, and resumes from there.

    A checkpoint holds weights, masks, all variables of the optimizer, the states of the model's
    random seed generators, the epoch, and the history so far. A run that is killed at any moment
    and restarted ends exactly as if it had not been killed, if its data set can start at any epoch.
    Read `initial_epoch`, the epoch to start at, before calling `fit`.

    A checkpoint is a directory, `epoch_NNNNNN`. It is written to a temporary place, synced, and
    then renamed; nothing in it is pickled. An epoch that leaves a loss or a weight NaN or infinite
    is not saved. With several workers the chief writes and all read, so they must share
    `directory`.

    Args:
        directory: Directory of the checkpoints, created if it is missing.
        keep: How many of the newest checkpoints are kept. With 2 or more, a damaged checkpoint is
            skipped, with a warning, in favor of the one before; with 1 it is an error.

    Attributes:
        history: `{metric: one value per epoch}` since the first epoch, over all restarts.
        epochs: The epochs, from 0, to which the values in `history` belong.
        not_saved: What was not finite in the last epoch, which was therefore not saved; or `None`.
        seconds: Time spent between the start of `fit` and the last saved epoch, over all restarts.

    Raises:
        ValueError: In `fit`, if a file is damaged (the error names it); if the checkpoint is from
            another model or optimizer, another epoch length, batch size, or number of replicas or
            workers; or if `fit` starts at another epoch. The batch size is known only after the
            first batch, and not at all where one call trains a whole epoch.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    digits = kt.data.load("digits", batch_size=64)
    model = kt.models.lenet_300_100(digits.input_shape)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    checkpoint = kt.callbacks.Checkpoint("checkpoints")
    start = checkpoint.initial_epoch
    model.fit(
        digits.train(start_epoch=start),
        steps_per_epoch=digits.steps_per_epoch,
        initial_epoch=start,
        epochs=3,
        shuffle=False,
        callbacks=[checkpoint],
    )
    ```
    """

    def __init__(self, directory: str | pathlib.Path, keep: int = 1):
        super().__init__()
        self.directory = expand_home(directory)
        self.keep = check_integer("keep", keep, low=1)
        self._written: tuple[pathlib.Path, dict[str, Any]] | None
        self._forget()

    @property
    def initial_epoch(self) -> int:
        """Number of epochs in the newest checkpoint, 0 if there is none; read from disk."""
        found = self._read()
        return 0 if found is None else found[1]["epoch"]

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        self._forget()
        if self._writes:
            remove_leftovers(self.directory)
        found = self._read()
        if found is not None:
            path, description, arrays = found
            _check_consistent(path, description)
            self._written = path, description.get("training", {})
            self._check_same(self._training())
            self._restore(path, description, arrays)
            self.history = description["history"]
            self.epochs = description["epochs"]
            self.seconds = self._seconds_before = description["seconds"]
            self._resumed_at = description["epoch"]
            if self._writes and path == list_checkpoints(self.directory)[-1]:
                remove_old_checkpoints(self.directory, self.keep)
        self._started = time.monotonic()

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        if self._resumed_at is not None and epoch != self._resumed_at:
            raise ValueError(
                f"The checkpoint in {str(self.directory)!r} was written after {self._resumed_at} "
                f"epochs, but `fit` starts at epoch {epoch}: pass "
                "`initial_epoch=checkpoint.initial_epoch`, or another directory."
            )
        self._resumed_at = None
        self._batch_size = BatchSize(self.params.get("steps"))

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        self._batch_size.after_call(self.model, batch + 1)
        self._check_same({"batch_size": self._batch_size.first})

    def on_test_begin(self, logs: Mapping[str, float] | None = None) -> None:
        self._batch_size.end_epoch(self.model)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        self._batch_size.end_epoch(self.model)
        logs = {name: float(value) for name, value in (logs or {}).items()}
        variables = self._variables()
        values = [self._copies(variable) for variable in variables]
        reason = _not_finite(logs, variables[: self._weights], values)
        self.not_saved = reason
        if reason:
            warn(f"Epoch {epoch + 1} was not saved: {reason} is not finite.")
            return
        self.epochs.append(epoch)
        for name, value in logs.items():
            # A run that an older version began continues with the metrics that it has.
            if name in self.history or len(self.epochs) == 1:
                self.history.setdefault(name, []).append(value)
        self.seconds = self._seconds_before + time.monotonic() - self._started
        if not self._writes:
            return
        description = {
            "epochs": self.epochs,
            "history": self.history,
            "seconds": self.seconds,
            "training": {**self._training(), "batch_size": self._batch_size.of_all},
            "variables": [
                {"path": variable.path, "shape": list(variable.shape), "copies": len(copies)}
                for variable, copies in zip(variables, values, strict=True)
            ],
        }
        arrays = [copy for copies in values for copy in copies]
        write_checkpoint(self.directory, epoch + 1, description, arrays, self.keep)

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        Workers(self.model.distribute_strategy).wait()  # whoever reads finds the last epoch

    def _forget(self):
        self.history, self.epochs, self.seconds = {}, [], 0.0
        self.not_saved = None
        self._seconds_before, self._resumed_at = 0.0, None
        self._batch_size = BatchSize()
        self._written = None

    @property
    def _writes(self) -> bool:
        return self.model.distribute_strategy.extended.should_checkpoint

    def _read(self):
        """(path, description, arrays) of the newest checkpoint; None if there is none."""
        candidates = list_checkpoints(self.directory)[::-1][: self.keep]
        for i, path in enumerate(candidates):
            try:
                return path, *read_checkpoint(path, SCHEMA)
            except ValueError as error:
                if i + 1 == len(candidates):
                    raise
                warn(f"{error}; using {candidates[i + 1].name} instead.")
        return None

    def _variables(self) -> list[keras.Variable]:
        model, optimizer = self.model, self.model.optimizer
        if not optimizer.built:
            with model.distribute_strategy.scope():
                optimizer.build(model.trainable_variables)
        metrics = {id(variable) for variable in model.metrics_variables}
        weights = [variable for variable in model.variables if id(variable) not in metrics]
        self._weights = len(weights)
        return weights + list(optimizer.variables)

    def _training(self) -> dict[str, int | str | None]:
        """What determines, besides model and optimizer, how training continues; as far as known."""
        strategy, steps = self.model.distribute_strategy, self.params.get("steps")
        if horizon := getattr(self.model, "horizon", None):
            _, steps = horizon  # Here `fit` may train a part of an epoch.
        replicas = strategy.num_replicas_in_sync
        return {"steps_per_epoch": steps, "replicas": replicas, "workers": count_workers(strategy)}

    def _check_same(self, now: Mapping[str, int | str | None]) -> None:
        """Checks that training is as it was in the checkpoint; `None` stands for not known."""
        if self._written is None:
            return
        path, before = self._written
        differences = [
            f"{name} is {value}, was {before[name]}"
            for name, value in now.items()
            if None not in (value, before.get(name)) and before[name] != value
        ]
        if differences:
            raise ValueError(
                f"Checkpoint {str(path)!r} cannot be resumed as if it had not been interrupted: "
                f"{', '.join(differences)}. Train on the same data, with the batch size and the "
                "strategy that it was written with, or in another directory."
            )

    def _restore(self, path, description, arrays):
        variables, saved = self._variables(), description["variables"]
        counts = [entry["copies"] for entry in saved]
        if min(counts, default=1) < 1 or sum(counts) != len(arrays):
            raise ValueError(
                f"Checkpoint {str(path)!r} is damaged: it describes {sum(counts)} arrays and holds "
                f"{len(arrays)}."
            )
        remaining = iter(arrays)
        values = [[next(remaining) for _ in range(entry["copies"])] for entry in saved]
        here = [(_kind(v.path, v.shape, _dtype(v)), len(self._local(v))) for v in variables]
        there = [
            (_kind(entry["path"], entry["shape"], copies[0].dtype.name), len(copies))
            for entry, copies in zip(saved, values, strict=True)
        ]
        for (kind, replicas), (found, count) in itertools.zip_longest(
            here, there, fillvalue=("nothing", 0)
        ):
            if kind != found or count not in (1, replicas):
                raise ValueError(
                    f"Checkpoint {str(path)!r} is of another model, optimizer or number of "
                    f"replicas: of its {len(there)} variables the first that differs is {found}, "
                    f"in {count} copies, where this one of {len(here)} variables has {kind} on "
                    f"{replicas} replicas."
                )
        for variable, arrays in zip(variables, values, strict=True):
            for i, target in enumerate(self._local(variable)):
                target.assign(arrays[i % len(arrays)])

    def _local(self, variable):
        """The TensorFlow variable of each replica of this process."""
        return self.model.distribute_strategy.experimental_local_results(variable.value)

    def _copies(self, variable) -> list[np.ndarray]:
        """The value on each replica of this process, or one value if all are the same."""
        copies = [np.asarray(local) for local in self._local(variable)]
        same = all(copy.tobytes() == copies[0].tobytes() for copy in copies)
        return copies[:1] if same else copies


def _dtype(variable) -> str:
    return np.dtype(variable.dtype).name


def _check_consistent(path, description) -> None:
    """Raises an error where what is read does not belong to one training."""
    epochs, training = description["epochs"], description.get("training", {})
    values = description["history"].values()
    try:
        check_schema(training, {str: (int, str, type(None))})
        if epochs != sorted(set(epochs)) or any(len(each) > len(epochs) for each in values):
            raise ValueError(f"its history is not of its epochs, {epochs}")
        if not 0 <= description["seconds"] < math.inf:
            raise ValueError(f"it took {description['seconds']} seconds")
    except ValueError as error:
        raise ValueError(f"Checkpoint {str(path)!r} is damaged: {error}.") from error


def _kind(path: str, shape, dtype: str) -> str:
    """A variable in words, without the numbers that Keras appends to names given before."""
    name = re.sub(r"_\d+(?=[/_]|$)", "", path)
    return f"{name} of shape {tuple(shape)} ({dtype})"


def _not_finite(logs, weights, values) -> str | None:
    """What is NaN or infinite: a metric's name or a weight's path; None if nothing is."""
    for name, value in logs.items():
        if not math.isfinite(value):
            return f"{name} ({value})"
    for variable, copies in zip(weights, values, strict=False):
        for copy in copies:
            if copy.dtype.kind not in "biu" and not np.isfinite(copy).all():
                return f"weight {variable.path!r}"
    return None
