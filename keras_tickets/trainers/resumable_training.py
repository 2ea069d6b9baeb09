"""One training run, any stretch of which can be run, interrupted and resumed."""

import contextlib
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras

from keras_tickets._checks import check_integer
from keras_tickets.callbacks import Checkpoint
from keras_tickets.trainers.epochs import Epochs


class _OwnCheckpoint(Checkpoint):
    """A checkpoint that only the stretch of training that wrote it resumes from.

    Args:
        directory: Directory of the checkpoints.
        stretch: What determines the stretch, `{name: value}`.
    """

    def __init__(self, directory: pathlib.Path, stretch: Mapping[str, str]):
        super().__init__(directory)
        self.stretch = stretch

    def _training(self):
        return {**super()._training(), **self.stretch}


class ResumableTraining:
    """A training run from step 0 to the end, T, which is run in stretches.

    Steps are optimizer steps: if gradients are accumulated, each takes several batches.

    Args:
        model: Compiled `kt.SparseModel` or `kt.trainers.DistillationTrainer`.
        data: The training batches.
        epochs: Epochs of the whole training.
        callbacks: Function from the directory of a stretch to its callbacks.
        validation_data: As in `keras.Model.fit`.
        verbose: As in `keras.Model.fit`.

    Attributes:
        steps: Steps from 0 to T.
        steps_per_epoch: Steps of an epoch.
        batches_per_epoch: Batches of an epoch.
        epochs: Epochs of the whole training.

    Raises:
        ValueError: `epochs` is not a positive integer.
    """

    def __init__(
        self,
        model: keras.Model,
        data: Epochs,
        epochs: int,
        *,
        callbacks: Callable[[str], Sequence[keras.callbacks.Callback]] = lambda directory: (),
        validation_data: Any = None,
        verbose: int | str = "auto",
    ):
        self.model, self.data = model, data
        self.epochs = check_integer("epochs", epochs, low=1)
        self.callbacks, self.validation_data, self.verbose = callbacks, validation_data, verbose
        self.batches_per_step = model.optimizer.batches_per_step
        self.batches_per_epoch = data.steps
        self.steps = epochs * data.steps // self.batches_per_step
        self.steps_per_epoch = data.steps // self.batches_per_step

    def run(
        self,
        directory: pathlib.Path,
        stretch: Mapping[str, str],
        start: int,
        stop: int,
        shift: int = 0,
    ) -> tuple[dict[str, list], float]:
        """Trains from one step to another, or resumes where it was interrupted.

        Args:
            directory: Where `checkpoints/` is kept.
            stretch: What determines this stretch, `{name: value}`; a checkpoint of another one is
                refused.
            start: Step to start from, which may be inside an epoch.
            stop: Step to stop at.
            shift: Epochs by which the order of the data is shifted.

        Returns:
            The history, `{metric: one value per epoch}` with the index of each epoch as "epoch";
            and the seconds that training took, over all restarts.

        Raises:
            ValueError: A loss or a weight is NaN or infinite at the end; or a checkpoint is damaged
                or of another stretch.
        """
        checkpoint = _OwnCheckpoint(directory / "checkpoints", stretch)
        callbacks = [checkpoint, *self.callbacks(str(directory))]
        batches = (step * self.batches_per_step for step in (start, stop))
        segments = list(self.data.segments(*batches))
        for segment in segments:
            first = max(segment.first, checkpoint.initial_epoch)
            if first >= segment.last and segment is not segments[-1]:
                continue
            with self._as_part_of_the_whole():
                self.model.fit(
                    self.data.batches(first + shift, segment.skip),
                    steps_per_epoch=segment.steps,
                    initial_epoch=min(first, segment.last),
                    epochs=segment.last,
                    callbacks=callbacks,
                    shuffle=False,
                    validation_data=self.validation_data,
                    verbose=self.verbose,
                )
            if checkpoint.not_saved:
                raise ValueError(
                    f"Training ended at epoch {segment.last} with a loss or a weight that is not "
                    f"finite, {checkpoint.not_saved}; {str(directory)!r} keeps what there was "
                    "before."
                )
            if self.model.stop_training:
                break
        return {"epoch": checkpoint.epochs, **checkpoint.history}, checkpoint.seconds

    def step_after(self, epoch: int) -> int:
        """Returns the step at the end of an epoch, or of the part of it that is trained."""
        return min((epoch + 1) * self.batches_per_epoch // self.batches_per_step, self.steps)

    @contextlib.contextmanager
    def _as_part_of_the_whole(self) -> Iterator[None]:
        """Makes a `fit` inside treat its epochs as part of this training run."""
        before = self.model.horizon
        self.model.horizon = (self.steps, self.steps_per_epoch)
        try:
            yield
        finally:
            self.model.horizon = before
