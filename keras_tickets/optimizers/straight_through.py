"""Straight-through magnitude pruning: all weights are trained, and the largest are used."""

import keras
import tensorflow as tf

from keras_tickets import schedules
from keras_tickets.optimizers.magnitude_pruning import MagnitudePruning
from keras_tickets.step import Step


@keras.saving.register_keras_serializable("keras_tickets")
class StraightThrough(MagnitudePruning):
    """Trains all weights by the dense gradient; only the largest are used in the model.

    Weights off the mask keep their values, and return as soon as they are among the largest. From
    `begin` to the end of training, the masks are chosen again every `update_every` steps; the ramp
    alone ends at `end`. By default every step has an update, and each kernel has its target
    sparsity from the first update on. Training starts from all weights.

    Args:
        inner: Keras optimizer, its name or its config; not built yet.
        schedule: A ramp of `kt.schedules`, or a `PolynomialDecay` or `ConstantSparsity` of
            tensorflow-model-optimization, which brings its own `update_every`, `begin` and `end`.
            `kt.schedules.ConstantSparsity()` by default.
        scope: "local" gives each kernel the sparsity of the ramp. "global" ranks the weights of all
            kernels together: only the total follows the ramp, and a kernel may lose everything.
        update_every: Optimizer steps between updates.
        begin: Step at which the ramp begins: anything that `kt.Step` takes.
        end: Step at which the ramp ends. `None` for `begin` if the schedule is a
            `ConstantSparsity`, and for 0.75 otherwise.
        track_exploration: Whether to record which weights were ever active, for `exploration`. It
            takes one byte per weight.
        name: Name of the optimizer.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    optimizer = kt.optimizers.StraightThrough(keras.optimizers.SGD(0.1), update_every=10)
    ```

    References:
        - [Bengio, Léonard and Courville, 2013, "Estimating or propagating gradients through
          stochastic neurons"](https://arxiv.org/abs/1308.3432)
    """

    needs_dense_gradients = True
    trains_off_mask = True

    def __init__(
        self,
        inner: keras.optimizers.Optimizer | str | dict,
        schedule: schedules.Ramp | object | None = None,
        *,
        scope: str = "local",
        update_every: int = 1,
        begin: int | float | str | Step = 0,
        end: int | float | str | Step | None = None,
        track_exploration: bool = False,
        name: str | None = None,
    ):
        schedule = schedules.get_ramp(
            schedules.ConstantSparsity() if schedule is None else schedule
        )
        if end is None:
            end = begin if isinstance(schedule, schedules.ConstantSparsity) else 0.75
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

    def in_calendar(self, step):
        begin, _ = self.window_in_graph()
        return (step >= begin) & tf.equal((step - begin) % self.update_every, 0)
