"""A stretch of training: from one step to another, in as many calls of `fit` as that takes."""

import pathlib
from collections.abc import Sequence

import keras

from keras_tickets.callbacks import Checkpoint
from keras_tickets.trainers.epochs import Epochs


def train_stretch(
    model: keras.Model,
    data: Epochs,
    start: int,
    stop: int,
    directory: pathlib.Path,
    *,
    epochs: int,
    shift: int = 0,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    **fit_arguments,
) -> tuple[dict[str, list], float]:
    """Trains a model on the batches `start` to `stop`, or goes on with that where it was.

    Args:
        model: Compiled `kt.SparseModel` or other model with its training.
        data: The batches.
        start: Index of the first batch, from 0; it may lie inside an epoch.
        stop: Index of the batch after the last.
        directory: Where `checkpoints/` is kept.
        epochs: Epochs of the whole training, of which this is a stretch.
        shift: Epochs by which the order of the data is shifted.
        callbacks: As in `keras.Model.fit`.
        **fit_arguments: Further arguments of `keras.Model.fit`.

    Returns:
        The history, `{metric: one value per epoch}` with the index of each epoch as "epoch"; and
        the seconds that training took, over all restarts.

    Raises:
        ValueError: A loss or a weight is NaN or infinite at the end.
    """
    checkpoint = Checkpoint(directory / "checkpoints")
    per_step = model.optimizer.batches_per_step
    model.horizon = (epochs * data.steps // per_step, data.steps // per_step)
    segments = list(data.segments(start, stop))
    for segment in segments:
        first = max(segment.first, checkpoint.initial_epoch)
        if first >= segment.last and segment is not segments[-1]:
            continue
        model.fit(
            data.batches(first + shift, segment.skip),
            steps_per_epoch=segment.steps,
            initial_epoch=min(first, segment.last),
            epochs=segment.last,
            callbacks=[checkpoint, *callbacks],
            shuffle=False,
            **fit_arguments,
        )
        if checkpoint.not_saved:
            raise ValueError(
                f"Training ended at epoch {segment.last} with a loss or a weight that is not "
                f"finite, {checkpoint.not_saved}; {str(directory)!r} keeps what there was before."
            )
        if model.stop_training:
            break
    return {"epoch": checkpoint.epochs, **checkpoint.history}, checkpoint.seconds
