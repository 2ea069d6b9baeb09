"""Straight-through magnitude pruning: all weights are trained, the largest are used."""

import keras
import tensorflow as tf

from keras_tickets import schedules
from keras_tickets.optimizers.magnitude_pruning import MagnitudePruning
from keras_tickets.step import Step


@keras.saving.register_keras_serializable("keras_tickets")
class StraightThrough(MagnitudePruning):
    """Trains all weights by the dense gradient; only the largest are used in the model.

    Weights off the mask keep their values and return as soon as they are among the largest. The
    masks are chosen again every `update_every` steps from `begin` on, to the end of training; the
    ramp ends at `end`. By default every step updates, and each kernel has its target sparsity from
    the first one on. Training starts from all weights.

    The arguments that are not listed here are those of `kt.optimizers.MagnitudePruning`.

    Args:
        schedule: A ramp, as in `kt.optimizers.MagnitudePruning`;
            `kt.schedules.ConstantSparsity()` by default.
        end: Step at which the ramp ends; `None` for `begin` where the schedule is a
            `ConstantSparsity`, and for 0.75 otherwise.

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
