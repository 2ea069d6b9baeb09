"""The dense gradient that methods grow by: that of the current batch, or a mean of several."""

import tensorflow as tf

from keras_tickets import _keras_compat
from keras_tickets.optimizers._kernel_state import update_on_devices, when


class PresentGradient:
    """The dense gradient of the current batch, summed over replicas.

    Args:
        optimizer: The optimizer that grows by it.
    """

    def __init__(self, optimizer):
        self.optimizer = optimizer

    def build(self) -> None:
        """Adds the variables that are needed to the optimizer, which must be built."""

    def observe(self, strategy, states, dense, step) -> None:
        """Sees the dense gradients of a step, as `SparseOptimizer.observe` does."""

    def read(self, strategy, states, dense) -> list:
        """The signal at an update: one tensor or variable for each kernel."""
        return self.optimizer.summed(strategy, states, dense)


class _Averaged(PresentGradient):
    """A mean of dense gradients, kept in one variable for each kernel."""

    name: str

    def build(self):
        self._means = {
            id(state.masked): self.optimizer.add_variable_from_reference(
                state.masked.kernel, self.name
            )
            for state in self.optimizer.kernel_states
        }

    def read(self, strategy, states, dense):
        return [self._means[id(state.masked)].value for state in states]

    def _update(self, strategy, states, dense, mean_after):
        """Sets each mean to `mean_after(mean, gradient)`."""

        def assign(kernel, mask, mean, gradient, *slots, initial):
            before = tf.convert_to_tensor(mean)
            mean.assign(tf.cast(mean_after(before, gradient), before.dtype))

        gradients = self.optimizer.summed(strategy, states, dense)
        for state, gradient in zip(states, gradients, strict=True):
            mean = self._means[id(state.masked)]
            update_on_devices(strategy, state, assign, mean.value, gradient)


class MeanOfBatches(_Averaged):
    """The mean dense gradient of the last batches, up to and including that of an update.

    Args:
        optimizer: A `DropAndGrow`.
        batches: Number of batches, at most those between two updates.
    """

    name = "dense_mean"

    def __init__(self, optimizer, batches: int):
        super().__init__(optimizer)
        self.batches = batches

    def observe(self, strategy, states, dense, step):
        optimizer = self.optimizer
        begin, end = optimizer.window_in_graph()
        per_step = optimizer.batches_per_step
        seen = _keras_compat.accumulated_batches(optimizer.core_optimizer)
        left = (begin - step) % optimizer.update_every * per_step + per_step - 1 - seen

        def mean_after(mean, gradient):
            mean = tf.where(left == self.batches - 1, tf.zeros_like(mean), mean)
            return mean + tf.cast(gradient, mean.dtype) / self.batches

        when(
            (left < self.batches) & (step < end),
            lambda: self._update(strategy, states, dense, mean_after),
        )


class Momentum(_Averaged):
    """A running mean of the dense gradients of all steps: m = decay * m + (1 - decay) * g.

    Args:
        optimizer: A `DropAndGrow`.
        decay: A number in [0, 1).
    """

    name = "dense_momentum"

    def __init__(self, optimizer, decay: float):
        super().__init__(optimizer)
        self.decay = decay

    def observe(self, strategy, states, dense, step):
        def mean_after(mean, gradient):
            # In float64, so that compilers with and without fused multiply-add round alike.
            before, now = tf.cast(mean, tf.float64), tf.cast(gradient, tf.float64)
            return self.decay * before + (1 - self.decay) * now

        self._update(strategy, states, dense, mean_after)
