"""How far a run is, and how long it still takes."""

import time

import keras

from keras_tickets.experiments.time_texts import duration
from keras_tickets.experiments.work_directory import WorkDirectory

_SAID_AT = (0.25, 0.5, 0.75)  # shares of the run after which it says so again
_NOTED_EVERY = 10.0  # seconds


class TimeLeft:
    """Writes down how far a run is, and says after its first epoch how long the rest takes.

    Args:
        directory: Work directory of the run.
        steps: Training steps of the whole run, over all of its trainings.
        verbose: As in `keras.Model.fit`; 0 says nothing.
    """

    def __init__(self, directory: WorkDirectory, steps: int, verbose: int | str):
        self.directory, self.steps = directory, steps
        self._verbose = verbose
        self._steps, self._seconds = 0, 0.0
        self._said = 0.0

    def callback(
        self, steps_per_epoch: int, before: int = 0, start: int = 0
    ) -> keras.callbacks.Callback:
        """For one training of the run, which may begin at a later epoch than its first.

        Args:
            steps_per_epoch: Steps of a whole epoch.
            before: Steps of the whole run before this training.
            start: Step from epoch 0 on at which this training begins.
        """
        return _Watch(self, steps_per_epoch, before, start)

    def took(self, steps: int, seconds: float) -> None:
        """Counts steps that this process has trained."""
        self._steps += steps
        self._seconds += seconds

    def note(self, step: int) -> None:
        """Writes down the step of the whole run."""
        self.directory.note_progress(min(step, self.steps), self.steps)

    def say(self, step: int) -> None:
        """Prints how long the rest takes: the first time, and at each quarter of the run."""
        share = step / self.steps
        if not self._verbose or not self._steps or share >= 1:
            return
        due = next((at for at in reversed(_SAID_AT) if share >= at), 0.0)
        if self._said and due <= self._said:
            return
        self._said = max(due, 1e-9)
        seconds = self._seconds / self._steps * (self.steps - step)
        print(f"Step {step:,} of {self.steps:,}; about {duration(seconds)} left.", flush=True)


class _Watch(keras.callbacks.Callback):
    """Times one training, but for its first call, which builds the graph."""

    def __init__(self, whole: TimeLeft, steps_per_epoch: int, before: int, start: int):
        super().__init__()
        self.whole, self.steps_per_epoch = whole, steps_per_epoch
        self.before, self.start = before, start
        self._trained, self._placed = 0, False
        self._noted = float("-inf")

    def on_train_begin(self, logs=None):
        self._timed, self._began, self._counted = False, time.monotonic(), self._trained

    def on_epoch_begin(self, epoch, logs=None):
        if not self._placed:
            self._placed = True
            self._trained = max(epoch * self.steps_per_epoch - self.start, 0)
        self._of_epoch = 0
        self.whole.say(self.before + self._trained)

    def on_train_batch_end(self, batch, logs=None):
        # The last call of an epoch may be told of more batches than there were.
        done = min(batch + 1, (self.params or {}).get("steps") or batch + 1)
        self._trained += done - self._of_epoch
        self._of_epoch = done
        if not self._timed:
            self._timed, self._began, self._counted = True, time.monotonic(), self._trained
        if time.monotonic() - self._noted > _NOTED_EVERY and self._writes:
            self._noted = time.monotonic()
            self.whole.note(self.before + self._trained)

    def on_epoch_end(self, epoch, logs=None):
        now = time.monotonic()
        if self._trained > self._counted:
            self.whole.took(self._trained - self._counted, now - self._began)
        self._began, self._counted = now, self._trained

    @property
    def _writes(self) -> bool:
        return self.model.distribute_strategy.extended.should_checkpoint
