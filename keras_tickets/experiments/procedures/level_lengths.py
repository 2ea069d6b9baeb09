"""How many training steps levels take, and how many of them are done."""

from keras_tickets.experiments.procedures.procedure import Run
from keras_tickets.trainers import RewindTrainer
from keras_tickets.trainers.controls import FROM_STEP_0
from keras_tickets.trainers.level_settings import planned_controls


class LevelLengths:
    """The steps of all levels and controls of a run, counted in batches.

    Args:
        trainer: Compiled trainer with the last level of the run.
        run: The run.

    Attributes:
        total: Steps of the whole run.
    """

    def __init__(self, trainer: RewindTrainer, run: Run):
        self._trainer = trainer
        self._batches = trainer.model.optimizer.batches_per_step
        self._whole = run.experiment.epochs * run.dataset.steps_per_epoch
        steps = self._whole // self._batches, run.dataset.steps_per_epoch // self._batches
        self._rewind = self._batches * trainer.settings.rewind_to.resolve(*steps)
        levels = (trainer.levels + 1) * (self._whole - self._rewind)
        self._controls = planned_controls(trainer.levels, trainer.control, trainer.control_levels)
        controls = sum(self._whole - self.start_of(name) for _, name in self._controls)
        self.total = self._rewind + levels + controls

    def start_of(self, name: str) -> int:
        """The step at which a training begins, by the name of its directory."""
        return 0 if name == "rewind_point" or name in FROM_STEP_0 else self._rewind

    def before(self) -> int:
        """The steps of what is finished, as the store says."""
        store = self._trainer.level_store
        places: list[tuple[int, str | None]] = [*self._controls]
        places += [(level, None) for level in range(self._trainer.levels + 1)]
        results = [store.result(*place) for place in places]
        done = sum(self._batches * result["steps"] for result in results if result)
        return done + (self._rewind if store.has_rewind_point() else 0)
