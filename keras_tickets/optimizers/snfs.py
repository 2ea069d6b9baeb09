"""SNFS: grow where the momentum of dense gradients is large."""

import keras
import tensorflow as tf

from keras_tickets import _keras_compat
from keras_tickets._checks import check_number, check_one_of
from keras_tickets.optimizers._growth_signal import Momentum
from keras_tickets.optimizers._redistribution import mean_magnitude, share_growth
from keras_tickets.optimizers.drop_and_grow import DropAndGrow
from keras_tickets.schedules import Schedule
from keras_tickets.step import Step

REDISTRIBUTIONS = ("momentum", "gradient", None)


@keras.saving.register_keras_serializable("keras_tickets")
class SNFS(DropAndGrow):
    """Sparse networks from scratch: grows the weights with the largest momentum.

    The momentum is a running mean of the dense gradients of all steps, each summed over replicas:
    m = momentum * m + (1 - momentum) * g. By default the update follows the gradient step.

    The weights that all kernels together have dropped are shared out again. Each kernel grows a
    number in proportion to the mean magnitude of the momentum (or gradient) of the weights that
    were active before the update, and never more than fit. So the number of weights is constant in
    total, not in each kernel. A kernel always keeps what it does not drop, at least one weight.

    Args:
        inner: Keras optimizer, its name or its config; not built yet.
        update_every: Optimizer steps between updates.
        begin: First step at which an update may happen: anything that `kt.Step` takes.
        end: Step from which on no update happens.
        drop_fraction: Share of each kernel's active weights that an update drops: a number, or an
            object of `kt.schedules`. `None` for `kt.schedules.Cosine(0.3)`.
        grow_init: First value of a grown weight: "zeros"; "initial_dist", drawn from the values
            that the kernel's active weights had when the optimizer was built, which keeps a copy of
            them; "random_normal", with the standard deviation of the active weights;
            "random_uniform", between minus and plus their mean magnitude; "grad_scale", the dense
            gradient; or "grad_sign", its sign.
        grow_divisor: What the first value of a grown weight is divided by.
        skip_gradient_step: Whether an update replaces the gradient step. Otherwise it follows the
            step. The step counter advances either way.
        momentum: Decay of the running mean, in [0, 1). The mean costs one more float copy of every
            kernel, and a dense gradient in every step.
        redistribution: What decides how growth is shared among kernels: "momentum" or "gradient".
            `None` grows in each kernel as many weights as it has dropped.
        seed: Non-negative integer. Random draws depend on it, the kernel path and the step.
        track_exploration: Whether to record which weights were ever active, for `exploration`. It
            takes one byte per weight.
        name: Name of the optimizer.

    Raises:
        ValueError: An argument is out of range, or growth is to be redistributed among kernels
            whose masks have a structure.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    optimizer = kt.optimizers.SNFS(keras.optimizers.SGD(0.1, momentum=0.9), update_every=100)
    ```

    References:
        - [Dettmers and Zettlemoyer, 2019, "Sparse networks from scratch"](
          https://arxiv.org/abs/1907.04840). The paper uses the inner optimizer's momentum; here, as
          in the code of the RigL paper, the method keeps a running mean of its own.
    """

    needs_dense_gradients = True

    def __init__(
        self,
        inner: keras.optimizers.Optimizer | str | dict,
        *,
        update_every: int = 100,
        begin: int | float | str | Step = 0,
        end: int | float | str | Step = 0.75,
        drop_fraction: float | Schedule | None = None,
        grow_init: str = "zeros",
        grow_divisor: float = 1.0,
        skip_gradient_step: bool = False,
        momentum: float = 0.9,
        redistribution: str | None = "momentum",
        seed: int = 0,
        track_exploration: bool = False,
        name: str | None = None,
    ):
        super().__init__(
            inner,
            update_every=update_every,
            begin=begin,
            end=end,
            drop_fraction=drop_fraction,
            grow_init=grow_init,
            grow_divisor=grow_divisor,
            skip_gradient_step=skip_gradient_step,
            seed=seed,
            track_exploration=track_exploration,
            name=name,
        )
        self.momentum = check_number("momentum", momentum, "[0, 1)")
        self.redistribution = check_one_of("redistribution", redistribution, REDISTRIBUTIONS)
        self._signal = Momentum(self, self.momentum)

    @_keras_compat.without_tracking
    def build(self, variables):
        super().build(variables)
        for state in self.kernel_states:
            layout = state.masked.layout
            if self.redistribution and (layout.groups, layout.unit_size) != (1, 1):
                raise ValueError(
                    "`redistribution` needs masks of single weights. Received: redistribution="
                    f"{self.redistribution!r} with kernel {state.masked.name!r}; use None."
                )

    def grow_scores(self, state, gradient, step):
        return tf.abs(tf.cast(gradient, tf.float32))

    def growth_counts(self, strategy, states, dense, fraction):
        if self.redistribution is None:
            return super().growth_counts(strategy, states, dense, fraction)
        if self.redistribution == "momentum":
            values = self._signal.read(strategy, states, dense)
        else:
            values = self.summed(strategy, states, dense)
        kept, dropped, importance = [], [], []
        for state, value in zip(states, values, strict=True):
            mask = tf.convert_to_tensor(state.masked.mask)
            active = tf.math.count_nonzero(mask, dtype=tf.int32)
            dropped.append(tf.cast(tf.cast(active, tf.float32) * fraction, tf.int32))
            kept.append(active - dropped[-1])
            importance.append(mean_magnitude(tf.convert_to_tensor(value), mask, active))
        room = tf.constant([state.masked.size for state in states]) - tf.stack(kept)
        return tf.unstack(share_growth(tf.stack(importance), tf.add_n(dropped), room))

    @property
    def dense_gradient_every(self):
        return 0

    def get_config(self):
        return {
            **super().get_config(),
            "momentum": self.momentum,
            "redistribution": self.redistribution,
        }
