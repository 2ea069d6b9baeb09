"""Gradual magnitude pruning: from dense to sparse along a ramp."""

import keras
import tensorflow as tf

from keras_tickets import masks
from keras_tickets.optimizers.magnitude_pruning import MagnitudePruning
from keras_tickets.optimizers.topology import update_on_devices


@keras.saving.register_keras_serializable("keras_tickets")
class GradualMagnitude(MagnitudePruning):
    """Prunes the smallest weights on the way, more and more of them.

    Start from `kt.sparsify(model, sparsity, mask="ones")`. With `kt.schedules.ConstantSparsity()`
    it is one-shot pruning at step `begin`.

    Takes the arguments of `kt.optimizers.MagnitudePruning`.

    Args:
        regrow: Whether pruned weights may come back. If not, they are 0 and stay so. If they may,
            each step also trains the pruned ones, by the dense gradient and from 0 on, as
            tensorflow-model-optimization does: one that a single step makes large enough returns.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    optimizer = kt.optimizers.GradualMagnitude(
        keras.optimizers.Adam(1e-3), kt.schedules.PolynomialDecay(), begin=0.1, end=0.8
    )
    ```

    References:
        - [Zhu and Gupta, 2017, "To prune, or not to prune"](https://arxiv.org/abs/1710.01878)
    """

    def __init__(self, inner, schedule=None, *, regrow=False, **kwargs):
        super().__init__(inner, schedule, **kwargs)
        self.regrow = self.needs_dense_gradients = self.trains_off_mask = bool(regrow)

    def observe(self, strategy, topologies, dense, step):
        def forget(kernel, mask, *slots, initial):
            kernel.assign(masks.apply_mask(mask, tf.convert_to_tensor(kernel)))

        if self.regrow:
            for topology in topologies:
                update_on_devices(strategy, topology, forget)

    def get_config(self):
        return {**super().get_config(), "regrow": self.regrow}
