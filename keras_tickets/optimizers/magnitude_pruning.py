"""Pruning by magnitude along a ramp, which several methods share."""

import inspect

import keras
import numpy as np
import tensorflow as tf

from keras_tickets import _keras_compat, schedules
from keras_tickets._checks import check_one_of
from keras_tickets._masked_kernel import MaskedKernel
from keras_tickets._selection import exact
from keras_tickets._selection.counts import sparsity_of
from keras_tickets._tables import count_text
from keras_tickets._warnings import warn
from keras_tickets.optimizers._kernel_state import update_on_devices
from keras_tickets.optimizers.periodic import PeriodicOptimizer
from keras_tickets.step import Step

SCOPES = ("local", "global")


class MagnitudePruning(PeriodicOptimizer):
    """Keeps the weights of largest magnitude, as many as a ramp leaves at each update.

    An update follows the gradient step of its step t. With a ramp of `kt.schedules` it is due when
    `begin <= t <= end` and either `(t - begin) % update_every == 0` or `t == end`, so that the
    final sparsity is always reached. A schedule of tensorflow-model-optimization says itself when
    an update is due. Ties go to the lowest flat index, in a global ranking first to the earlier
    kernel.

    Args:
        inner: Keras optimizer, its name or its config; not built yet.
        schedule: A ramp of `kt.schedules`, or a `PolynomialDecay` or `ConstantSparsity` of
            tensorflow-model-optimization, which brings its own `update_every`, `begin` and `end`.
            `kt.schedules.PolynomialDecay()` by default.
        scope: "local" gives each kernel the sparsity of the ramp. "global" ranks the weights of all
            kernels together: only the total follows the ramp, and a kernel may lose everything.
        update_every: Optimizer steps between updates.
        begin: Step at which the ramp begins: anything that `kt.Step` takes.
        end: Step at which the ramp ends.
        track_exploration: Whether to record which weights were ever active, for `exploration`. It
            takes one byte per weight.
        name: Name of the optimizer.

    Raises:
        TypeError: `schedule` is not a ramp.
        ValueError: An argument is out of range or contradicts the schedule, or the schedule's
            target goes down.

    Example:

    ```python
    import keras_tickets as kt

    class LastMinute(kt.optimizers.MagnitudePruning):
        def in_calendar(self, step):
            return step == self.window_in_graph()[1]

    optimizer = LastMinute("adam", end=0.9)
    ```
    """

    first_masks = ("ones",)

    def __init__(
        self,
        inner: keras.optimizers.Optimizer | str | dict,
        schedule: schedules.Ramp | object | None = None,
        *,
        scope: str = "local",
        update_every: int = 100,
        begin: int | float | str | Step = 0,
        end: int | float | str | Step = 0.75,
        track_exploration: bool = False,
        name: str | None = None,
    ):
        schedule = schedules.get_ramp(schedule)
        given = {"update_every": update_every, "begin": begin, "end": end}
        super().__init__(
            inner,
            **(self._settled_by(schedule, given) or given),
            track_exploration=track_exploration,
            name=name,
        )
        self.schedule = schedule
        self.scope = check_one_of("scope", scope, SCOPES)
        self._kernels: tuple[MaskedKernel, ...] = ()
        self._first_counts: dict[int, int] = {}

    def _settled_by(self, schedule, given) -> dict:
        """The calendar of a schedule that brings its own; refuses arguments that contradict it."""
        parameters = inspect.signature(type(self).__init__).parameters
        defaults = {name: parameters[name].default for name in given if name in parameters}
        differ = [
            name
            for name, settled in schedule.calendar.items()
            if given[name] not in (defaults.get(name), settled)
        ]
        if differ:
            raise ValueError(
                f"{differ} are settled by the schedule of tensorflow-model-optimization. Received: "
                f"{', '.join(f'{name}={given[name]!r}' for name in differ)}; leave them out."
            )
        return schedule.calendar

    @_keras_compat.without_tracking
    def take_first_masks(self, kernels):
        super().take_first_masks(kernels)
        self._kernels = tuple(kernel for kernel in kernels if kernel.kernel.trainable)

    def set_total_steps(self, total_steps, steps_per_epoch=None):
        super().set_total_steps(total_steps, steps_per_epoch)
        if not int(self.iterations.numpy()):
            self._first_counts = {id(kernel): kernel.count() for kernel in self._kernels}

    @_keras_compat.without_tracking
    def build(self, variables):
        super().build(variables)
        self._kernels = tuple(state.masked for state in self.kernel_states)
        for state in self.kernel_states:
            masked, layout = state.masked, state.masked.layout
            if self.schedule.final_sparsity is None:
                self.schedule.check_rises(masked.sparsity, f"target of {masked.name!r}")
            if self.scope == "global" and (layout.groups, layout.unit_size) != (1, 1):
                raise ValueError(
                    '`scope="global"` needs masks of single weights. Received: kernel '
                    f'{masked.name!r} with a structure; use `scope="local"`.'
                )

    def in_calendar(self, step: tf.Tensor) -> tf.Tensor:
        """Whether there are updates at some steps: int64 tensor to boolean tensor."""
        begin, end = self.window_in_graph()
        due = tf.equal((step - begin) % self.update_every, 0)
        if self.schedule.reaches_end:
            due |= tf.equal(step, end)
        return due & (step >= begin) & (step <= end)

    def can_start_from(self, kernel):
        """Sparse masks are a start too if the ramp prunes further and no pruned weight returns."""
        final = self.schedule.final_sparsity
        prunes = final is not None and kernel.count() > kernel.layout.count(final)
        return prunes and not self.trains_off_mask

    def check_calendar(self, first, last):
        begin, end = self.window or (0, 0)
        if not first and min(end, self._last_update(end)) >= last:
            when = "begins" if begin >= last else "ends"
            warn(
                f"The ramp of {type(self).__name__} goes from step {begin} to {end}. Training has "
                f"{count_text(last, 'step')} and is over before the ramp {when}: the target "
                "will not be reached."
            )

    def _last_update(self, end):
        """The last step with an update. Only some ramps have one at their very end."""
        begin, _ = self.window or (0, 0)
        return end if self.schedule.reaches_end else end - (end - begin) % self.update_every

    def shortfall(self):
        if not self.built:
            return None
        kernels = [state.masked for state in self.kernel_states]
        final = self.schedule.final_sparsity
        left = [k.layout.count(k.sparsity if final is None else final) for k in kernels]
        found, wanted = sum(kernel.count() for kernel in kernels), sum(left)
        size = sum(kernel.size for kernel in kernels)
        if found <= wanted + len(kernels):  # Schedules round in their own ways.
            return None
        return (
            f"{type(self).__name__} was to reach a sparsity of {1 - wanted / size:.4f}; the model "
            f"has {1 - found / size:.4f}"
        )

    def _sparsity(self, step, target):
        begin, end = self.window_in_graph()
        return self.schedule.sparsity(step, begin, end, target)

    def _total_sparsity(self, step):
        size = sum(kernel.size for kernel in self._kernels)
        target = sum(kernel.target for kernel in self._kernels)
        return self._sparsity(step, sparsity_of(size, target))

    def update_masks(self, strategy, states, dense, step):
        if self.scope == "global":
            chosen = self._choose_globally(states, step)
        else:
            chosen = [self._choose_locally(state, step) for state in states]

        def assign(kernel, mask, new, *slots, initial):
            mask.assign(new)

        for state, new in zip(states, chosen, strict=True):
            update_on_devices(strategy, state, assign, new)

    def _choose_locally(self, state, step):
        masked = state.masked
        sparsity = self._sparsity(step, masked.sparsity)
        return masked.layout.choose(
            _magnitudes(masked),
            self.schedule.left(masked.layout.units, sparsity),
            among=None if self.trains_off_mask else tf.convert_to_tensor(masked.mask),
            method=self.selection_method,
        )

    def _choose_globally(self, states, step):
        records = [state.masked for state in states]
        sizes = [record.size for record in records]

        def flat(tensors):
            return tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], axis=0)

        among = None
        if not self.trains_off_mask:
            among = flat([tf.convert_to_tensor(record.mask) for record in records])
        chosen = exact.choose(
            flat([_magnitudes(record) for record in records]),
            self.schedule.left(sum(sizes), self._total_sparsity(step)),
            among=among,
            method=self.selection_method,
        )
        parts = tf.split(chosen, np.asarray(sizes))
        return [
            tf.reshape(part, record.kernel.shape)
            for part, record in zip(parts, records, strict=True)
        ]

    def weights_in_training(self, masked):
        """What the ramp leaves in the course of training, beginning with the first masks.

        In a global ranking the kernel's share of the zeros is taken to be what it is now.
        """
        steps = self.steps_in_training
        if self.window is None or not steps or not any(masked is each for each in self._kernels):
            return super().weights_in_training(masked)
        due = tf.range(steps, dtype=tf.int64)
        due = tf.boolean_mask(due, self.in_calendar(due))
        durations = np.diff([0, *(due.numpy() + 1), steps])
        first = self.first_count(masked)
        left = self._left(masked, due)
        if not self.trains_off_mask:
            left = np.minimum(left, first)
        return list(zip(durations.tolist(), [first, *left.tolist()], strict=True))

    def first_count(self, masked: MaskedKernel) -> int:
        """Number of weights of a kernel at the beginning of training; all where it is not known."""
        if int(self.iterations.numpy()):
            return self._first_counts.get(id(masked), masked.size)
        return masked.count()

    def set_first_count(self, masked: MaskedKernel, count: int) -> None:
        """Tells how many weights a kernel had at the beginning, as a saved model does not."""
        self._first_counts[id(masked)] = count

    def _left(self, masked, due):
        """Number of weights that each of the updates leaves of a kernel."""
        if self.scope == "local":
            layout = masked.layout
            left = self.schedule.left(layout.units, self._sparsity(due, masked.sparsity))
            return left.numpy() * layout.groups * layout.unit_size
        total = sum(kernel.size for kernel in self._kernels)
        zeros = total - sum(kernel.count() for kernel in self._kernels)
        share = (masked.size - masked.count()) / zeros if zeros else masked.size / total
        pruned = total - self.schedule.left(total, self._total_sparsity(due)).numpy()
        return np.maximum(masked.size - pruned * share, 0)

    @property
    def dense_gradient_every(self):
        return 0 if self.needs_dense_gradients else None

    def get_config(self):
        config = super().get_config()
        config = {k: v for k, v in config.items() if k not in self.schedule.calendar}
        schedule = keras.saving.serialize_keras_object(self.schedule)
        return {**config, "schedule": schedule, "scope": self.scope}


def _magnitudes(masked):
    return tf.abs(tf.cast(tf.convert_to_tensor(masked.kernel), tf.float32))
