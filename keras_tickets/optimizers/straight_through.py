"""Straight-through magnitude pruning: all weights are trained, the largest are used."""

import keras
import tensorflow as tf

from keras_tickets import schedules
from keras_tickets.optimizers.magnitude_pruning import MagnitudePruning


@keras.saving.register_keras_serializable("keras_tickets")
class StraightThrough(MagnitudePruning):
    """Trains all weights by the dense gradient; only the largest are used in the model.

    Weights off the mask keep their values and return as soon as they are among the largest. The
    masks are chosen again every `update_every` steps from `begin` on, to the end of training; the
    ramp ends at `end`. Start from `kt.sparsify(model, sparsity, mask="ones")`, which keeps all
    initial weights.

    Takes the arguments of `kt.optimizers.MagnitudePruning`; by default every step updates, and
    each kernel has its target sparsity from the first one on.

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

    def __init__(self, inner, schedule=None, **kwargs):
        schedule = schedules.get_ramp(
            schedules.ConstantSparsity() if schedule is None else schedule
        )
        if not schedule.calendar:
            kwargs = {"update_every": 1, **kwargs}
        if isinstance(schedule, schedules.ConstantSparsity):
            kwargs = {"begin": 0, "end": 0, **kwargs}
        super().__init__(inner, schedule, **kwargs)

    def in_calendar(self, step):
        begin, _ = self.window_in_graph()
        return (step >= begin) & tf.equal((step - begin) % self.update_every, 0)
