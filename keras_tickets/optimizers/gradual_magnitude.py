"""Gradual magnitude pruning: from dense to sparse along a ramp."""

import keras
import tensorflow as tf

from keras_tickets._masked_kernel import apply_mask
from keras_tickets.optimizers._kernel_state import update_on_devices
from keras_tickets.optimizers.magnitude_pruning import MagnitudePruning
from keras_tickets.schedules import Ramp
from keras_tickets.step import Step


@keras.saving.register_keras_serializable("keras_tickets")
class GradualMagnitude(MagnitudePruning):
    """Prunes more and more of the smallest weights during training.

    Training starts from all weights. With `kt.schedules.ConstantSparsity()` this is one-shot
    pruning at step `begin`.

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
        regrow: Whether pruned weights may come back. If not, they stay 0. If they may, each step
            also trains the pruned weights by the dense gradient, always from 0, and a weight that a
            single step makes large enough returns, as in tensorflow-model-optimization.
        track_exploration: Whether to record which weights were ever active, for `exploration`. It
            takes one byte per weight.
        name: Name of the optimizer.

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

    def __init__(
        self,
        inner: keras.optimizers.Optimizer | str | dict,
        schedule: Ramp | object | None = None,
        *,
        scope: str = "local",
        update_every: int = 100,
        begin: int | float | str | Step = 0,
        end: int | float | str | Step = 0.75,
        regrow: bool = False,
        track_exploration: bool = False,
        name: str | None = None,
    ):
        super().__init__(
            inner,
            schedule,
            scope=scope,
            update_every=update_every,
            begin=begin,
            end=end,
            track_exploration=track_exploration,
            name=name,
        )
        self.regrow = self.needs_dense_gradients = self.trains_off_mask = bool(regrow)

    def observe(self, strategy, states, dense, step):
        def forget(kernel, mask, *slots, initial):
            kernel.assign(apply_mask(mask, tf.convert_to_tensor(kernel)))

        if self.regrow:
            for state in states:
                update_on_devices(strategy, state, forget)

    def get_config(self):
        return {**super().get_config(), "regrow": self.regrow}
