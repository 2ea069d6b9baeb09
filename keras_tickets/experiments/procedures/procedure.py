"""`Procedure`: what the training binary needs of whatever it does with an experiment."""

import dataclasses
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from keras_tickets import data
from keras_tickets._workers.workers import Workers
from keras_tickets.experiments.work_directory import WorkDirectory
from keras_tickets.plan import SparsityPlan

if TYPE_CHECKING:
    from keras_tickets.experiments.experiment import Experiment


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of an experiment, once its data is there.

    Attributes:
        experiment: What is run.
        directory: Where.
        dataset: The data.
        verbose: As in `keras.Model.fit`.
        workers: The processes that run it together.
    """

    experiment: "Experiment"
    directory: WorkDirectory
    dataset: data.Batches
    verbose: int | str
    workers: Workers

    def chosen_on(self):
        """The examples that choices are made on: those held out, or where none are the test set."""
        return self.dataset.validation() if self.dataset.held_out else self.dataset.test()


@runtime_checkable
class Procedure(Protocol):
    """Makes the model of an experiment, and trains it."""

    def plan(self, experiment: "Experiment") -> SparsityPlan:
        """What will be masked, before any training."""
        ...

    def extends(self, name: str, before: Any, now: Any) -> bool:
        """Whether a run that was begun with one value of a setting may go on with another.

        Args:
            name: Name of the setting, as in a gin file.
            before: The value that the run was begun with.
            now: The value that is asked for.
        """
        ...

    def make(self, experiment: "Experiment", directory: WorkDirectory) -> Any:
        """The compiled model or trainer, or what holds all of them; nothing is written yet."""
        ...

    def run(self, made: Any, run: Run) -> dict:
        """Trains what `make` made, saves it and returns the summary."""
        ...
