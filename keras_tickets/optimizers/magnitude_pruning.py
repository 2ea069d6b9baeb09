"""What methods that prune by magnitude share: a ramp, and one ranking for each update."""

import keras
import numpy as np
import tensorflow as tf

from keras_tickets import _keras_compat, _selection, schedules
from keras_tickets._checks import check_one_of
from keras_tickets.distributions.ranking import sparsity_of
from keras_tickets.optimizers.periodic import PeriodicOptimizer
from keras_tickets.optimizers.topology import put_to_rest, update_on_devices

SCOPES = ("local", "global")


class MagnitudePruning(PeriodicOptimizer):
    """Sets the masks to the weights of largest magnitude, as many as a ramp leaves at a step.

    An update follows the gradient step of its step t. With a ramp of `kt.schedules` it is due when
    `begin <= t <= end` and either `(t - begin) % update_every == 0` or `t == end`, so that the
    final sparsity is always reached; with a schedule of tensorflow-model-optimization, when that
    says so. Ties go to the lowest flat index, in a global ranking to the earlier kernel first.

    Args:
        inner: Keras optimizer, its name or its config; not built yet.
        schedule: A ramp of `kt.schedules`, or a `PolynomialDecay` or `ConstantSparsity` of
            tensorflow-model-optimization, which brings its own `update_every`, `begin` and `end`.
            `kt.schedules.PolynomialDecay()` by default.
        scope: "local" gives each kernel the ramp's sparsity; "global" ranks the weights of all
            kernels together, so that only the total is the ramp's and a kernel may lose all.
        **kwargs: As in `kt.optimizers.PeriodicOptimizer`.

    Raises:
        TypeError: `schedule` is no ramp.
        ValueError: An argument is out of range, does not go with the schedule, or the schedule's
            target goes down.
    """

    def __init__(self, inner, schedule=None, *, scope="local", **kwargs):
        schedule = schedules.get_ramp(schedule)
        calendar = schedule.calendar
        if given := sorted(calendar.keys() & kwargs.keys()):
            raise ValueError(
                f"{given} are settled by the schedule of tensorflow-model-optimization. Received: "
                f"{', '.join(f'{name}={kwargs[name]!r}' for name in given)}; leave them out."
            )
        check_one_of("scope", scope, SCOPES)
        super().__init__(inner, **kwargs, **calendar)
        self.schedule = schedule
        self.scope = scope

    @_keras_compat.without_tracking
    def build(self, variables):
        super().build(variables)
        for topology in self.topologies:
            masked, layout = topology.masked, topology.masked.layout
            if self.schedule.final_sparsity is None:
                self.schedule.check_rises(masked.sparsity, f"target of {masked.path!r}")
            if self.scope == "global" and (layout.groups, layout.unit_size) != (1, 1):
                raise ValueError(
                    '`scope="global"` needs masks of single weights. Received: kernel '
                    f'{masked.path!r} with a structure; use `scope="local"`.'
                )

    def in_calendar(self, step: tf.Tensor) -> tf.Tensor:
        """Whether there are updates at some steps: int64 tensor to boolean tensor."""
        begin, end = self.window_in_graph()
        due = tf.equal((step - begin) % self.update_every, 0)
        if self.schedule.reaches_end:
            due |= tf.equal(step, end)
        return due & (step >= begin) & (step <= end)

    def update_due(self, step):
        return self.in_calendar(step) & _keras_compat.closes_window(self.core_optimizer)

    def _sparsity(self, step, target):
        return self.schedule.sparsity(step, *self.window_in_graph(), target)

    def _total_sparsity(self, step):
        records = [topology.masked for topology in self.topologies]
        size, target = sum(r.size for r in records), sum(r.target for r in records)
        return self._sparsity(step, sparsity_of(size, target))

    def update_topology(self, strategy, topologies, dense, step):
        if self.scope == "global":
            chosen = self._choose_globally(topologies, step)
        else:
            chosen = [self._choose_locally(topology, step) for topology in topologies]

        def assign(kernel, mask, new, *slots, initial):
            mask.assign(new)
            if not self.trains_off_mask:
                put_to_rest(kernel, new, *slots, initial=initial)

        for topology, new in zip(topologies, chosen, strict=True):
            update_on_devices(strategy, topology, assign, new)

    def _choose_locally(self, topology, step):
        masked = topology.masked
        sparsity = self._sparsity(step, masked.sparsity)
        return masked.layout.choose(
            _magnitudes(masked),
            self.schedule.left(masked.layout.units, sparsity),
            among=None if self.trains_off_mask else tf.convert_to_tensor(masked.mask),
            method=self.selection_method,
        )

    def _choose_globally(self, topologies, step):
        records = [topology.masked for topology in topologies]
        sizes = [record.size for record in records]

        def flat(tensors):
            return tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], axis=0)

        among = None
        if not self.trains_off_mask:
            among = flat([tf.convert_to_tensor(record.mask) for record in records])
        chosen = _selection.choose(
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
        """What the ramp leaves, from all weights on; in a global ranking, zeros shared as now."""
        steps = self.steps_in_training
        if self.window is None or not (self.built and steps):
            return super().weights_in_training(masked)
        due = tf.range(steps, dtype=tf.int64)
        due = tf.boolean_mask(due, self.in_calendar(due))
        durations = np.diff([0, *(due.numpy() + 1), steps])
        if self.scope == "local":
            layout = masked.layout
            left = self.schedule.left(layout.units, self._sparsity(due, masked.sparsity))
            left = left.numpy() * layout.groups * layout.unit_size
        else:
            records = [topology.masked for topology in self.topologies]
            total = sum(record.size for record in records)
            zeros = total - sum(record.count() for record in records)
            share = (masked.size - masked.count()) / zeros if zeros else masked.size / total
            pruned = total - self.schedule.left(total, self._total_sparsity(due)).numpy()
            left = np.maximum(masked.size - pruned * share, 0)
        weights = [masked.size, *left.tolist()]
        return list(zip(durations.tolist(), weights, strict=True))

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
