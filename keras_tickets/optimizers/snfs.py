"""SNFS: grow where the momentum of dense gradients is large."""

import keras
import tensorflow as tf

from keras_tickets import _keras_compat
from keras_tickets._checks import check_number, check_one_of
from keras_tickets.optimizers.drop_and_grow import DropAndGrow
from keras_tickets.optimizers.redistribution import share_growth
from keras_tickets.optimizers.topology import update_on_devices

REDISTRIBUTIONS = ("momentum", "gradient", None)


@keras.saving.register_keras_serializable("keras_tickets")
class SNFS(DropAndGrow):
    """Sparse networks from scratch: grows those weights with the largest momentum.

    The momentum is a running mean of dense gradients, m = momentum * m + (1 - momentum) * g, that
    takes in every step's, summed over replicas. The update follows the gradient step.

    What all kernels together have dropped is grown again where it is worth most: each kernel gets
    a share of it in proportion to the mean magnitude of the momentum (or gradient) of the weights
    that were active before, never more than fits. So the number of weights is constant in total,
    not for each kernel. A kernel always keeps what it does not drop, at least one weight.

    Takes the arguments of `kt.optimizers.DropAndGrow`.

    Args:
        momentum: Decay of the running mean, in [0, 1). Costs one more float copy of every kernel,
            and a dense gradient in every step.
        redistribution: "momentum" or "gradient", what shares the growth among kernels; `None`
            grows in each kernel what it has dropped.

    Raises:
        ValueError: An argument is out of range, or redistribution is asked for with masks of
            another structure than single weights.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    optimizer = kt.optimizers.SNFS(keras.optimizers.SGD(0.1, momentum=0.9), update_every=100)
    ```

    References:
        - [Dettmers and Zettlemoyer, 2019, "Sparse networks from scratch"](
          https://arxiv.org/abs/1907.04840); a running mean of its own, where the paper takes the
          inner optimizer's, as in the code of the RigL paper
    """

    needs_dense_gradients = True

    def __init__(self, inner, *, momentum=0.9, redistribution="momentum", **kwargs):
        super().__init__(inner, **kwargs)
        self.momentum = check_number("momentum", momentum, "[0, 1)")
        self.redistribution = check_one_of("redistribution", redistribution, REDISTRIBUTIONS)

    @_keras_compat.without_tracking
    def build(self, variables):
        super().build(variables)
        for topology in self.topologies:
            layout = topology.masked.layout
            if self.redistribution and (layout.groups, layout.unit_size) != (1, 1):
                raise ValueError(
                    "`redistribution` needs masks of single weights. Received: redistribution="
                    f"{self.redistribution!r} with kernel {topology.masked.path!r}; use None."
                )
        self._momenta = {
            t.masked.path: self.add_variable_from_reference(t.masked.kernel, "dense_momentum")
            for t in self.topologies
        }

    def observe(self, strategy, topologies, dense, step):
        def average(kernel, mask, momentum, gradient, *slots, initial):
            # In float64, so that a fused multiply-add rounds to the same float32.
            before = tf.cast(tf.convert_to_tensor(momentum), tf.float64)
            now = tf.cast(gradient, tf.float64)
            mean = self.momentum * before + (1 - self.momentum) * now
            momentum.assign(tf.cast(mean, momentum.dtype))

        dense = self.summed(strategy, topologies, dense)
        for topology, gradient in zip(topologies, dense, strict=True):
            momentum = self._momenta[topology.masked.path]
            update_on_devices(strategy, topology, average, momentum.value, gradient)

    def growth_gradients(self, strategy, topologies, dense):
        return [self._momenta[topology.masked.path].value for topology in topologies]

    def growth_counts(self, strategy, topologies, dense, fraction):
        if not self.redistribution:
            return super().growth_counts(strategy, topologies, dense, fraction)
        if self.redistribution == "momentum":
            dense = [self._momenta[topology.masked.path] for topology in topologies]
        else:
            dense = self.summed(strategy, topologies, dense)
        active, dropped, importance = [], [], []
        for topology, values in zip(topologies, dense, strict=True):
            mask = tf.convert_to_tensor(topology.masked.mask)
            active.append(tf.math.count_nonzero(mask, dtype=tf.int32))
            dropped.append(tf.cast(tf.cast(active[-1], tf.float32) * fraction, tf.int32))
            importance.append(_mean_magnitude(tf.convert_to_tensor(values), mask, active[-1]))
        sizes = tf.constant([topology.masked.size for topology in topologies])
        room = sizes - (tf.stack(active) - tf.stack(dropped))
        return tf.unstack(share_growth(tf.stack(importance), tf.add_n(dropped), room))

    def grow_scores(self, topology, gradient, step):
        return tf.abs(tf.cast(gradient, tf.float32))

    @property
    def dense_gradient_every(self):
        return 0

    def get_config(self):
        return {
            **super().get_config(),
            "momentum": self.momentum,
            "redistribution": self.redistribution,
        }


def _mean_magnitude(values, mask, count):
    """Mean over the mask, summed in float64 so that the order of the sum does not show."""
    magnitudes = tf.where(mask, tf.abs(tf.cast(values, tf.float64)), 0.0)
    mean = tf.reduce_sum(magnitudes) / tf.cast(tf.maximum(count, 1), tf.float64)
    return tf.cast(mean, tf.float32)
