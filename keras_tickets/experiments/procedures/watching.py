"""What a run writes to be watched by: TensorBoard's logs, and what becomes of the masks."""

import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf

from keras_tickets.callbacks import TopologyLogger
from keras_tickets.experiments.procedures.procedure import Run
from keras_tickets.masks import masked_kernels

# Of the batch for all replicas; gradients are taken on one.
MOST_EXAMPLES = 64


def watchers(
    run: Run, model: keras.Model, place: str | os.PathLike = ".", gradients: bool = False
) -> list[keras.callbacks.Callback]:
    """The callbacks that write what can be watched, of a run or of a level of it.

    Args:
        run: The run.
        model: What is trained.
        place: Where in the work directory the training is: "." or that of a level.
        gradients: Whether gradients are taken around the updates of the masks.

    Returns:
        The callbacks; of several workers, the chief alone has them. Masks in another basis, which
        connect no units, are not recorded.
    """
    if not run.workers.writes:
        return []
    logs = run.directory.tensorboard / place
    found: list[keras.callbacks.Callback] = [keras.callbacks.TensorBoard(logs, write_graph=False)]
    records = masked_kernels(model)
    if records and not any(record.basis for record in records):
        found.append(
            TopologyLogger(
                run.directory.path / place,
                tensorboard=logs / "topology",
                examples=_first_examples(run) if gradients else None,
                loss=run.experiment.make_loss(),
            )
        )
    return found


def log_configuration(directory: pathlib.Path, config: Mapping[str, Any], text: str) -> None:
    """Writes a run's settings for TensorBoard: as text, and for its table of hyper-parameters.

    Args:
        directory: The run's `tensorboard/`.
        config: `{name: value}`.
        text: The same as in `config.gin`.
    """
    from tensorboard.plugins.hparams import api  # slow to import, and used once

    values = {
        name: value if isinstance(value, bool | int | float | str) else repr(value)
        for name, value in config.items()
    }
    writer = tf.summary.create_file_writer(str(directory))
    with writer.as_default(step=0):
        tf.summary.text("config.gin", "    " + text.replace("\n", "\n    "))
        if values:
            api.hparams(values, trial_id=directory.parent.name)
    writer.close()


def _first_examples(run: Run) -> Callable[[], tuple]:
    """A function that gives inputs and targets of the first training examples, for one device."""

    def read():
        batch = next(iter(run.dataset.train(0)))[:2]
        return tf.nest.map_structure(lambda values: values[:MOST_EXAMPLES], batch)

    return read
