"""`FanIn`: the same number of weights into every neuron."""

import keras
import tensorflow as tf

from keras_tickets._checks import check_number
from keras_tickets._kernels.find import Kernel
from keras_tickets._selection import exact
from keras_tickets.structures.structure import Layout, Matrix, Structure


@keras.saving.register_keras_serializable("keras_tickets")
class FanIn(Structure):
    """Constant fan-in: every live neuron has the same number of weights into it.

    A neuron is a unit of a dense layer or a channel of a convolution.

    With ablation, an update removes neurons that have too few salient weights, and gives their
    weights to the others. Salient are the weights that the update would keep by magnitude, and
    those that it would grow, ranked over the whole kernel. The output of an ablated neuron is its
    bias alone. It comes back when it has enough salient weights again. `kt.sparsify` ablates no
    neurons that are outputs of the model; in a `kt.layers.Sparse` of your own, use `FanIn(None)`
    for those.

    Args:
        ablation: How many salient weights a neuron needs to stay: a share of the constant fan-in
            before ablation, or a number of weights if it is at least 1. `None` for no ablation:
            then all neurons stay, an update drops weights anywhere in the kernel, and each neuron
            grows as many as it has lost.

    Raises:
        ValueError: `ablation` is out of range.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    dense = keras.Sequential([keras.Input((16,)), keras.layers.Dense(8, name="fc")])
    model = kt.sparsify(dense, 0.75, structure=kt.structures.FanIn())
    assert (model.masks["fc/kernel"].sum(axis=0) == 4).all()
    ```

    References:
        - [Lasby et al., 2024, "Dynamic sparse training with structured sparsity" (SRigL),
          section 3](https://arxiv.org/abs/2305.02299)
    """

    def __init__(self, ablation: float | None = 0.3):
        if ablation is not None:
            check_number("ablation", ablation, "(0, inf)")
        self.ablation = ablation

    def at_output(self) -> Structure:
        return FanIn(None)

    def layout(self, kernel: Kernel) -> Layout:
        return _Neurons(kernel, self.ablation)


class _Neurons(Layout):
    has_groups = True

    def __init__(self, kernel, ablation):
        self.matrix = Matrix(kernel)
        super().__init__(groups=self.matrix.outputs, units=self.matrix.fan_in, unit_size=1)
        self.ablation = ablation

    def pool(self, values):
        return self.matrix.of(values)

    def spread(self, units):
        return self.matrix.to_kernel(units)

    def update(
        self, mask, drop_scores, grow_scores, fraction, *, grown=None, target, method="histogram"
    ):
        if self.ablation is None or self.groups == 1:
            options = {"grown": grown, "target": target, "method": method}
            return super().update(mask, drop_scores, grow_scores, fraction, **options)
        active = self.matrix.of(mask)
        drop, grow = self.matrix.of(drop_scores), self.matrix.of(grow_scores)
        count = tf.math.count_nonzero(active, dtype=tf.int32)
        dropped = tf.cast(tf.cast(count, tf.float32) * fraction, tf.int32)
        kept = exact.choose(drop, count - dropped, among=active, method=method)
        salient = kept | exact.choose(grow, dropped, method=method)
        live = self._live(salient, target, method)
        fan_in = tf.minimum(target // tf.math.count_nonzero(live, dtype=tf.int32), self.units)
        kept = exact.choose(drop, count - dropped, among=active & live[:, None], method=method)
        kept = exact.choose_rows(drop, fan_in, among=kept)
        missing = fan_in - tf.math.count_nonzero(kept, axis=1, dtype=tf.int32)
        missing = tf.where(live, missing, 0)
        return self.matrix.to_kernel(kept | exact.choose_rows(grow, missing, among=~kept))

    def _live(self, salient, target, method):
        """Marks neurons with enough salient weights, at least as many as can hold the target."""
        counts = tf.math.count_nonzero(salient, axis=1, dtype=tf.int32)
        share = self.ablation * (target // self.groups) if self.ablation < 1 else self.ablation
        needed = min(target // self.units + 1, self.groups)
        most = exact.kth_largest(tf.cast(counts, tf.float32), needed, method=method)
        return counts >= tf.minimum(max(int(share), 1), tf.cast(most, tf.int32))
