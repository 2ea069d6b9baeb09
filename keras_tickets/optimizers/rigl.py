"""RigL: grow where the dense gradient is large."""

import keras
import tensorflow as tf

from keras_tickets import _keras_compat
from keras_tickets.optimizers.drop_and_grow import DropAndGrow


@keras.saving.register_keras_serializable("keras_tickets")
class RigL(DropAndGrow):
    """Drops the smallest weights and grows those with the largest dense gradient.

    The dense gradient is that of the current batch with respect to the masked kernel, summed over
    replicas before its magnitude is taken, without regularizers. By default an update replaces the
    gradient step, as in the paper's Algorithm 1.

    Takes the arguments of `kt.optimizers.DropAndGrow`; `skip_gradient_step` is `True` by default.

    Args:
        accumulate_dense_gradients: With gradient accumulation in the inner optimizer: grow by the
            mean dense gradient of the window instead of that of its last batch. Costs one more
            float copy of every kernel.

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

    def __init__(self, inner, *, accumulate_dense_gradients=False, **kwargs):
        super().__init__(inner, **kwargs)
        self.accumulate_dense_gradients = accumulate_dense_gradients
        if accumulate_dense_gradients and not self.core_optimizer.gradient_accumulation_steps:
            raise ValueError(
                "`accumulate_dense_gradients=True` needs an inner optimizer with "
                "`gradient_accumulation_steps`."
            )

    @_keras_compat.without_tracking
    def build(self, variables):
        super().build(variables)
        if self.accumulate_dense_gradients:
            self._dense_sums = {
                t.masked.path: self.add_variable_from_reference(t.masked.kernel, "dense_sum")
                for t in self.topologies
            }

    def prepare_dense_gradients(self, topologies, dense_gradients, finite):
        dense = super().prepare_dense_gradients(topologies, dense_gradients, finite)
        if not self.accumulate_dense_gradients:
            return dense
        finite = True if finite is None else finite
        ends = tf.logical_and(finite, _keras_compat.closes_window(self.core_optimizer))
        means = []
        for topology, gradient in zip(topologies, dense, strict=True):
            variable = self._dense_sums[topology.masked.path]
            before = tf.convert_to_tensor(variable)
            total = tf.where(finite, before + gradient, before)
            variable.assign(tf.where(ends, tf.zeros_like(total), total))
            means.append(total / self.core_optimizer.gradient_accumulation_steps)
        return means

    def grow_scores(self, topology, gradient, step):
        return tf.abs(tf.cast(gradient, tf.float32))

    def get_config(self):
        config = super().get_config()
        return {**config, "accumulate_dense_gradients": self.accumulate_dense_gradients}
