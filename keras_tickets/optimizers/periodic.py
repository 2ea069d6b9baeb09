"""The calendar that methods with regular updates share."""

import contextlib

import keras
import tensorflow as tf

from keras_tickets import _keras_compat
from keras_tickets._checks import check_integer
from keras_tickets._resolved_steps import ResolvedSteps
from keras_tickets._tables import count_text
from keras_tickets._warnings import warn
from keras_tickets.optimizers.sparse_optimizer import SparseOptimizer
from keras_tickets.step import Step


class PeriodicOptimizer(SparseOptimizer):
    """A sparse optimizer that updates the masks every `update_every` steps, from `begin` to `end`.

    An update is due at step t (the number of optimizer steps taken before this one) when
    `begin <= t < end` and `(t - begin) % update_every == 0`. There is never one at t = 0, where the
    mask has just been drawn.

    Args:
        inner: Keras optimizer, its name or its config; not built yet.
        update_every: Optimizer steps between updates.
        begin: First step at which an update may happen: anything that `kt.Step` takes.
        end: Step from which on no update happens.
        track_exploration: Whether to record which weights were ever active, for `exploration`. It
            takes one byte per weight.
        name: Name of the optimizer.

    Raises:
        ValueError: An argument is out of range.

    Example:

    ```python
    import tensorflow as tf
    import keras_tickets as kt

    class Shift(kt.optimizers.PeriodicOptimizer):
        def update_masks(self, strategy, states, dense, step):
            for state in states:
                mask = tf.convert_to_tensor(state.masked.mask)
                moved = tf.roll(tf.reshape(mask, [-1]), 1, axis=0)
                state.masked.mask.assign(tf.reshape(moved, mask.shape))

    optimizer = Shift("sgd", update_every=10, end=1000)
    ```
    """

    def __init__(
        self,
        inner: keras.optimizers.Optimizer | str | dict,
        *,
        update_every: int = 100,
        begin: int | float | str | Step = 0,
        end: int | float | str | Step = 0.75,
        track_exploration: bool = False,
        name: str | None = None,
    ):
        super().__init__(inner, track_exploration=track_exploration, name=name)
        self.update_every = check_integer("update_every", update_every, low=1)
        self.begin = Step(begin)
        self.end = Step(end)
        self._checked = False
        self._bounds = ResolvedSteps(
            {"begin": self.begin, "end": self.end},
            self.add_variable,
            "update_window",
            check=self._check_bounds,
        )

    def set_total_steps(self, total_steps, steps_per_epoch=None):
        super().set_total_steps(total_steps, steps_per_epoch)
        kept = self._bounds.set_length(total_steps, steps_per_epoch)
        taken = int(self.iterations.numpy())
        if taken == 0 and not self._checked:
            self.check_calendar(0, total_steps)
        elif kept is None and taken >= total_steps:  # another training, after the first
            self.check_calendar(taken, taken + total_steps)
        self._checked = True
        if kept is not None:
            begin, end = kept
            warn(
                f"The masks change from step {begin} to {end}, as found by the first `fit`; a "
                f"training of {count_text(total_steps, 'step')} does not alter that. Compile with "
                "a new optimizer to start over."
            )

    @contextlib.contextmanager
    def assuming(self, steps):
        with super().assuming(steps), self._bounds.assuming(steps):
            yield

    @property
    def window(self) -> tuple[int, int] | None:
        """`begin` and `end` as numbers of steps; `None` while they are not known."""
        if (known := self._bounds.known) is None:
            return None
        begin, end = known
        return begin, end

    def check_calendar(self, first, last):
        updates = self._updates_from(first)
        if first:
            if not updates:
                self._warn_of_few_updates("no update after the training so far")
            return
        updates = [step for step in updates if step < last]
        if len(updates) < 2:
            count = "1 update" if updates else "no update"
            self._warn_of_few_updates(f"{count} in {count_text(last, 'step')} of training")

    def warn_of_empty_window(self) -> None:
        """Warns if the window is already known and no update falls into it."""
        if self.window is not None and not self._updates_from(0):
            self._warn_of_few_updates("no update")

    def _updates_from(self, first: int) -> list[int]:
        """The steps of the next updates: at least two of them, or all if there are fewer."""
        begin, end = self.window or (0, 0)
        next_one = max(-((begin - first) // self.update_every), 0)
        some = (begin + (next_one + i) * self.update_every for i in range(3))
        steps = sorted(step for step in {*some, end} if step >= first)
        due = self.in_calendar(tf.constant(steps, tf.int64)).numpy()
        return [step for step, is_due in zip(steps, due, strict=True) if is_due]

    def _warn_of_few_updates(self, found):
        begin, end = self.window or (0, 0)
        every = "step" if self.update_every == 1 else f"{self.update_every} steps"
        warn(
            f"{type(self).__name__} changes the masks every {every} from step {begin} to {end}: "
            f"{found}. Use a smaller `update_every`, or a later `end`."
        )

    def _check_bounds(self, begin, end):
        if begin > end:
            raise ValueError(
                "`begin` must not be after `end`. Received: "
                f"begin={self.begin.value!r} (step {begin}), end={self.end.value!r} (step {end})."
            )

    def window_in_graph(self) -> tuple[tf.Tensor, tf.Tensor]:
        """`begin` and `end` as int64 scalars.

        Raises:
            ValueError: They depend on a length of training that is not known.
        """
        begin, end = self._bounds.in_graph()
        return begin, end

    def in_calendar(self, step: tf.Tensor) -> tf.Tensor:
        """Whether the calendar has an update at each of the given steps.

        Args:
            step: int64 tensor.

        Returns:
            Boolean tensor of the same shape.
        """
        begin, end = self.window_in_graph()
        in_window = (step > 0) & (step >= begin) & (step < end)
        return in_window & tf.equal((step - begin) % self.update_every, 0)

    def update_due(self, step):
        return self.in_calendar(step) & _keras_compat.completes_step(self.core_optimizer)

    @property
    def has_settled(self):
        """Whether the window of updates is over."""
        return self.window is not None and int(self.iterations.numpy()) > self.window[1]

    def progress(self, step: tf.Tensor) -> tf.Tensor:
        """(t - begin) / (end - begin) at step t, a float64 scalar."""
        begin, end = (tf.cast(bound, tf.float64) for bound in self.window_in_graph())
        return (tf.cast(step, tf.float64) - begin) / tf.maximum(end - begin, 1.0)

    @property
    def dense_gradient_every(self):
        return self.update_every if self.needs_dense_gradients else None

    @property
    def dense_gradient_share(self):
        every, steps = self.dense_gradient_every, self.steps_in_training
        if not every or self.window is None or not steps:
            return super().dense_gradient_share
        due = self.in_calendar(tf.range(steps, dtype=tf.int64))
        return float(tf.math.count_nonzero(due)) * self.dense_steps_per_update / steps

    @property
    def dense_steps_per_update(self) -> float:
        """In how many steps an update takes dense gradients; a batch may be a part of a step."""
        return 1.0

    def get_config(self):
        return {
            **super().get_config(),
            "update_every": self.update_every,
            "begin": self.begin.value,
            "end": self.end.value,
        }
