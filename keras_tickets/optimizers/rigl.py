"""RigL: grow where the dense gradient is large."""

import keras
import tensorflow as tf

from keras_tickets import _keras_compat
from keras_tickets._checks import check_integer
from keras_tickets.optimizers.drop_and_grow import DropAndGrow
from keras_tickets.optimizers.topology import update_on_devices, when


@keras.saving.register_keras_serializable("keras_tickets")
class RigL(DropAndGrow):
    """Drops the smallest weights and grows those with the largest dense gradient.

    The dense gradient is that of the current batch with respect to the masked kernel, summed over
    replicas before its magnitude is taken, without regularizers. By default an update replaces the
    gradient step, as in the paper's Algorithm 1.

    Takes the arguments of `kt.optimizers.DropAndGrow`; `skip_gradient_step` is `True` by default.

    Args:
        mean_over: Grow by the mean dense gradient of so many batches, the last one that of the
            update itself. With gradient accumulation in the inner optimizer a step is several
            batches. More than 1 costs one more float copy of every kernel.
        inverted: Grow where the dense gradient is smallest instead: an ablation.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    optimizer = kt.optimizers.RigL(
        keras.optimizers.SGD(0.1, momentum=0.9), update_every=100, end=0.75, drop_fraction=0.3
    )
    ```

    References:
        - [Evci et al., 2020, "Rigging the Lottery", Algorithm 1](https://arxiv.org/abs/1911.11134)
    """

    needs_dense_gradients = True
    skip_gradient_step = True

    def __init__(self, inner, *, mean_over=1, inverted=False, **kwargs):
        super().__init__(inner, **kwargs)
        self.mean_over = check_integer("mean_over", mean_over, low=1)
        self.inverted = inverted
        self._batches = self.core_optimizer.gradient_accumulation_steps or 1
        if mean_over > self.update_every * self._batches:
            raise ValueError(
                "`mean_over` must be at most the number of batches between updates, "
                f"{self.update_every * self._batches}. Received: mean_over={mean_over}"
            )

    @_keras_compat.without_tracking
    def build(self, variables):
        super().build(variables)
        if self.mean_over > 1:
            self._means = {
                t.masked.path: self.add_variable_from_reference(t.masked.kernel, "dense_mean")
                for t in self.topologies
            }

    def observe(self, strategy, topologies, dense, step):
        if self.mean_over == 1:
            return
        begin, end = self.window_in_graph()
        batch = _keras_compat.batches_in_window(self.core_optimizer)
        left = (begin - step) % self.update_every * self._batches + self._batches - 1 - batch

        def add():
            for topology, gradient in zip(
                topologies, self.summed(strategy, topologies, dense), strict=True
            ):
                mean = self._means[topology.masked.path]
                update_on_devices(strategy, topology, accumulate, mean.value, gradient)

        def accumulate(kernel, mask, mean, gradient, *slots, initial):
            before = tf.convert_to_tensor(mean)
            before = tf.where(left == self.mean_over - 1, tf.zeros_like(before), before)
            mean.assign(before + tf.cast(gradient, before.dtype) / self.mean_over)

        when((left < self.mean_over) & (step < end), add)

    def growth_gradients(self, strategy, topologies, dense):
        if self.mean_over == 1:
            return super().growth_gradients(strategy, topologies, dense)
        return [self._means[topology.masked.path].value for topology in topologies]

    def grow_scores(self, topology, gradient, step):
        scores = tf.abs(tf.cast(gradient, tf.float32))
        return -scores if self.inverted else scores

    @property
    def dense_gradient_every(self):
        """In batches: `mean_over` of those between two updates need one."""
        return self.update_every * self._batches // self.mean_over

    def get_config(self):
        return {
            **super().get_config(),
            "mean_over": self.mean_over,
            "inverted": self.inverted,
        }
