"""What methods that prune by magnitude share: a ramp, and one ranking for each update."""

import keras
import numpy as np
import tensorflow as tf

from keras_tickets import _keras_compat, schedules, selection
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
        if scope not in SCOPES:
            raise ValueError(f"`scope` must be one of {SCOPES}. Received: scope={scope!r}")
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

    def update_due(self, step):
        begin, end = self.window_in_graph()
        due = tf.equal((step - begin) % self.update_every, 0)
        if self.schedule.reaches_end:
            due |= tf.equal(step, end)
        due &= (step >= begin) & (step <= end)
        return due & _keras_compat.closes_window(self.core_optimizer)

    def _sparsity(self, step, target):
        return self.schedule.sparsity(step, *self.window_in_graph(), target)

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
        total = sum(sizes)
        sparsity = self._sparsity(step, sparsity_of(total, sum(r.target for r in records)))

        def flat(tensors):
            return tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], axis=0)

        among = None
        if not self.trains_off_mask:
            among = flat([tf.convert_to_tensor(record.mask) for record in records])
        chosen = selection.choose(
            flat([_magnitudes(record) for record in records]),
            self.schedule.left(total, sparsity),
            among=among,
            method=self.selection_method,
        )
        parts = tf.split(chosen, np.asarray(sizes))
        return [
            tf.reshape(part, record.kernel.shape)
            for part, record in zip(parts, records, strict=True)
        ]

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
