"""`TopologyLogger`: what training does to the masks, kernel by kernel."""

import os
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_tickets._checks import check_integer
from keras_tickets._files.home import expand_home
from keras_tickets._files.topology_file import FIGURES, write_topology
from keras_tickets._forward.gradient_norms import gradient_norms
from keras_tickets._forward.loss import loss_of
from keras_tickets._mask_pictures import mask_picture
from keras_tickets._warnings import warn
from keras_tickets.callbacks._topology_tracker import TopologyTracker
from keras_tickets.masks import kernels_by_path, masked_kernels
from keras_tickets.optimizers._exploration import explored_shares


class TopologyLogger(keras.callbacks.Callback):
    """Records what training does to the masks, for each kernel, at the ends of epochs.

    A row for each masked kernel has `epoch`, `step`, `kernel`, `weights`, `nonzeros`, and:

    - `sparsity`: share of zeros
    - `grown`: share of the weights there now that were not at the last look
    - `dropped`: share of the weights there at the last look that are gone
    - `overlap_first` and `overlap_last`: intersection over union with the mask of the first look
      and of the last
    - `exploration`: share of all weights that were there at any look; at any step, if the optimizer
      has `track_exploration=True`
    - `gradient_before` and `gradient_after`: norm of the gradient over the mask, on `examples`,
      right before and after the last update of the masks in the epoch

    The first rows are of the masks that training starts with. Nothing is read from the device
    within an epoch, except around updates whose gradients are asked for. A training that
    `kt.callbacks.Checkpoint` resumes goes on with the rows of its files up to there: none is lost
    or there twice. Put it before the checkpoint: else a kill between the two costs the gradients of
    an epoch.

    Args:
        directory: Gets `topology.csv`, the rows, and `topology.safetensors`, what a resumed
            training goes on from; `None` for neither.
        tensorboard: Directory of TensorBoard's logs, which get each figure of each kernel and
            pictures of the first kernel's masks; `None` for none.
        examples: Inputs and targets on which gradients are taken, or a function without arguments
            that returns both; `None` for none. A batch of training examples is enough.
        loss: Loss of the gradients, a Keras loss or its name; `None` for that of `compile`.
        every: Also look after each so many updates of the masks. `None`: at the ends of epochs.

    Attributes:
        rows: `{column: value}` for each look at each kernel.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: `every` is not positive, or the files are damaged or of other kernels.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_tickets as kt

    model = kt.sparsify(keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)]), 0.5)
    model.compile(kt.optimizers.SET("sgd", update_every=2), "mse")
    x, y = np.ones((32, 8)), np.ones((32, 4))
    logger = kt.callbacks.TopologyLogger(examples=(x, y))
    model.fit(x, y, batch_size=8, epochs=3, callbacks=[logger], verbose=0)
    assert [row["epoch"] for row in logger.rows] == [0, 1, 2, 3]
    assert logger.rows[1]["grown"] == logger.rows[1]["dropped"] > 0
    ```

    References:
        - [Evci et al., 2020, "Rigging the lottery", sections 3 and 4.3](https://arxiv.org/abs/1911.11134)
        - [Evci et al., 2022, "Gradient flow in sparse neural networks and how lottery tickets
          win"](https://arxiv.org/abs/2010.03533)
    """

    def __init__(
        self,
        directory: str | os.PathLike | None = None,
        *,
        tensorboard: str | os.PathLike | None = None,
        examples: tuple[Any, Any] | Callable[[], tuple[Any, Any]] | None = None,
        loss: Callable | str | None = None,
        every: int | None = None,
    ):
        super().__init__()
        self.directory = None if directory is None else expand_home(directory)
        self.tensorboard = None if tensorboard is None else expand_home(tensorboard)
        if not (examples is None or callable(examples) or _is_pair(examples)):
            raise TypeError(
                "`examples` must be a pair of inputs and targets, or a function that returns one. "
                f"Received: examples of class {type(examples).__name__}"
            )
        self.examples, self.loss = examples, loss
        self.every = None if every is None else check_integer("every", every, low=1)
        self._tracker: TopologyTracker | None = None
        self._writer = None

    @property
    def rows(self) -> list[dict[str, Any]]:
        """`{column: value}` for each look at each kernel."""
        return [] if self._tracker is None else self._tracker.topology.rows

    def on_train_begin(self, logs=None):
        self._begun = False
        if not masked_kernels(self.model):
            warn("TopologyLogger has nothing to record: the model has no masked kernels.")

    def on_epoch_begin(self, epoch, logs=None):
        if not masked_kernels(self.model):
            return
        self._epoch, self._step = epoch + 1, self._steps_taken()
        if not self._begun:  # a checkpoint has been restored by now, whatever the order
            self._begin(epoch)
        self._watched = self._choose_updates()

    def on_train_batch_begin(self, batch, logs=None):
        if self._tracker is None or not self._watched:
            return
        batches = self._batches_per_step
        step = self._step + batch // batches
        self._after_update(step)
        end = self._step + (batch + self.model.steps_per_execution) // batches
        if any(step <= update < end for update in self._watched):
            self._pending = True
            self._before = self._norms()

    def on_epoch_end(self, epoch, logs=None):
        if self._tracker is not None:
            step = self._steps_taken()
            self._after_update(step)
            self._look(step)
            self._save()

    def on_train_end(self, logs=None):
        if not self._begun and masked_kernels(self.model):  # resumed after its last epoch
            self._step = self._steps_taken()
            self._begin(self.params["epochs"])
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _begin(self, epoch):
        records = kernels_by_path(self.model)
        explored = explored_shares(self.model.optimizer)
        self._tracker = TopologyTracker(records, epoch, self._step, self.directory, explored)
        self._begun, self._pending = True, False
        self._before = self._after = None
        self._updates = self._calendar()
        if self.tensorboard is not None and self._writes:
            self._writer = tf.summary.create_file_writer(str(self.tensorboard))
        self._log(self._tracker.new_rows)
        self._save()

    def _calendar(self) -> np.ndarray:
        """The steps of all updates, as far as they are known beforehand."""
        optimizer = self.model.optimizer
        if getattr(optimizer, "window", None) is None:
            return np.zeros(0, np.int64)
        steps = tf.range(optimizer.steps_in_training, dtype=tf.int64)
        return np.flatnonzero(optimizer.in_calendar(steps).numpy())

    def _choose_updates(self) -> list[int]:
        """The updates of this epoch that are watched."""
        if self.every is not None:
            return self._updates[self.every - 1 :: self.every].tolist()
        if self.examples is None or not self.params.get("steps"):
            return []
        end = self._step + self.params["steps"] // self._batches_per_step
        return self._updates[(self._updates >= self._step) & (self._updates < end)][-1:].tolist()

    def _after_update(self, step):
        """Takes the norms after an update, if there was one in the last call of the step."""
        if self._pending:
            self._pending, self._after = False, self._norms()
            if self.every is not None:
                self._look(step)

    def _norms(self) -> dict[str, float] | None:
        if self.examples is None or not self._writes:
            return None
        if callable(self.examples):
            self.examples = self.examples()
        x, y = self.examples
        return gradient_norms(self.model, x, y, loss_of(self.model, self.loss))

    def _look(self, step):
        assert self._tracker is not None
        explored = explored_shares(self.model.optimizer)
        rows = self._tracker.look(self._epoch, step, self._before, self._after, explored)
        self._before = self._after = None
        self._log(rows)

    def _save(self):
        assert self._tracker is not None
        if self.directory is not None and self._writes:
            self.directory.mkdir(parents=True, exist_ok=True)
            write_topology(self.directory, self._tracker.topology)

    def _log(self, rows):
        """Writes rows, all of the same step, to TensorBoard."""
        if self._writer is None or not rows:
            return
        _, last = self._tracker.topology.masks()
        with self._writer.as_default(step=rows[0]["step"]):
            for row in rows:
                for name in FIGURES:
                    if row[name] is not None:
                        tf.summary.scalar(f"{row['kernel']}/{name}", row[name])
            picture = mask_picture(last)[None, :, :, None]
            tf.summary.image(f"{rows[0]['kernel']}/mask", picture)
        self._writer.flush()

    @property
    def _batches_per_step(self) -> int:
        return getattr(self.model.optimizer, "batches_per_step", 1)

    def _steps_taken(self) -> int:
        return int(self.model.optimizer.iterations.numpy())

    @property
    def _writes(self) -> bool:
        return self.model.distribute_strategy.extended.should_checkpoint


def _is_pair(examples) -> bool:
    return isinstance(examples, tuple | list) and len(examples) == 2
