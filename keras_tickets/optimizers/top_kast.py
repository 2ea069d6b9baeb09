"""Top-KAST: a sparse forward pass, and a larger set of weights that are trained."""

import keras
import tensorflow as tf

from keras_tickets import _keras_compat
from keras_tickets._checks import check_integer, check_number, check_sparsity
from keras_tickets._masked_kernel import apply_mask
from keras_tickets.optimizers._kernel_state import add_beside_mask, update_on_devices
from keras_tickets.optimizers.sparse_optimizer import SparseOptimizer


@keras.saving.register_keras_serializable("keras_tickets")
class TopKAST(SparseOptimizer):
    """Uses each kernel's largest weights, and trains more of the largest than it uses.

    The forward set holds the largest weights that the kernel's target sparsity leaves; the backward
    set, those that `backward_sparsity` leaves. Weights in the backward set get the dense gradient.
    The others keep exactly their values, and their slots are at rest. Both sets are chosen at step
    0 and then every `update_every` steps, after the gradient step. Training starts from all
    weights.

    Args:
        inner: Keras optimizer, its name or its config; not built yet.
        backward_sparsity: Share of each kernel's weights outside the backward set, in [0, 1). A
            kernel whose target sparsity is lower trains its forward set. By default the backward
            set holds twice as many weights as the forward set.
        update_every: Optimizer steps between choices of the sets.
        regularization: Factor of an L2 penalty, which lets weights of the backward set compete:
            half the sum of the squared weights, where the squares of those outside the forward set
            are divided by the density of the forward set.
        track_exploration: Whether to record which weights were ever active, for `exploration`. It
            takes one byte per weight.
        name: Name of the optimizer.

    Raises:
        ValueError: An argument is out of range.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    optimizer = kt.optimizers.TopKAST(keras.optimizers.SGD(0.1), regularization=1e-4)
    ```

    References:
        - [Jayakumar et al., 2020, "Top-KAST: top-K always sparse training",
          section 2](https://arxiv.org/abs/2106.03517)
    """

    needs_dense_gradients = True
    trains_off_mask = True
    first_masks = ("ones",)

    def __init__(
        self,
        inner: keras.optimizers.Optimizer | str | dict,
        *,
        backward_sparsity: float | None = None,
        update_every: int = 100,
        regularization: float = 0.0,
        track_exploration: bool = False,
        name: str | None = None,
    ):
        super().__init__(inner, track_exploration=track_exploration, name=name)
        if backward_sparsity is not None:
            backward_sparsity = check_sparsity(backward_sparsity, "backward_sparsity")
        self.backward_sparsity = backward_sparsity
        self.update_every = check_integer("update_every", update_every, low=1)
        self.regularization = check_number("regularization", regularization, "[0, inf)")

    @_keras_compat.without_tracking
    def build(self, variables):
        super().build(variables)
        highest = max((t.masked.sparsity for t in self.kernel_states), default=1.0)
        if self.backward_sparsity is not None and self.backward_sparsity >= highest:
            raise ValueError(
                "`backward_sparsity` must be below the sparsity of the model's kernels. Received: "
                f"backward_sparsity={self.backward_sparsity}, where the sparsest has {highest}."
            )
        self._backward = {
            id(s.masked): add_beside_mask(self, s, "backward") for s in self.kernel_states
        }

    def update_due(self, step):
        return tf.equal(step % self.update_every, 0) & _keras_compat.completes_step(
            self.core_optimizer
        )

    def _trained(self, state):
        """Forward and backward set together: before step 0 there is no backward set yet."""
        backward = self._backward[id(state.masked)]
        return tf.convert_to_tensor(state.masked.mask) | tf.convert_to_tensor(backward)

    def gradient_off_mask(self, state, gradient):
        if self.regularization:
            kernel = tf.convert_to_tensor(state.masked.kernel)
            density = max(1 - state.masked.sparsity, 1 / state.masked.size)
            pull = tf.where(state.masked.mask.value, kernel, kernel / density)
            gradient += self.scale_loss(self.regularization) * tf.cast(pull, gradient.dtype)
        return apply_mask(self._trained(state), gradient)

    def take_step(self, strategy, states, step):
        def hold(kernel, mask, backward, before, *slots, initial):
            trained = tf.convert_to_tensor(mask) | tf.convert_to_tensor(backward)
            kernel.assign(tf.where(trained, tf.convert_to_tensor(kernel), before))
            for slot, value in zip(slots, initial, strict=True):
                slot.assign(apply_mask(trained, tf.convert_to_tensor(slot), value))

        held = [tf.convert_to_tensor(state.masked.kernel) for state in states]
        step()
        for state, before in zip(states, held, strict=True):
            backward = self._backward[id(state.masked)]
            update_on_devices(strategy, state, hold, backward.value, before)

    def update_masks(self, strategy, states, dense, step):
        def choose(kernel, mask, backward, *slots, initial):
            scores = tf.abs(tf.cast(tf.convert_to_tensor(kernel), tf.float32))
            forward = layout.choose(scores, used, method=self.selection_method)
            mask.assign(forward)
            backward.assign(layout.choose(scores, trained, method=self.selection_method))

        for state in states:
            layout = state.masked.layout
            used, trained = self._units_in_sets(state.masked)
            backward = self._backward[id(state.masked)]
            update_on_devices(strategy, state, choose, backward.value)

    def _units_in_sets(self, masked):
        """How many units of each group the forward set and the backward set have."""
        layout = masked.layout
        used = layout.left(masked.sparsity)
        if self.backward_sparsity is None:
            return used, min(2 * used, layout.units)
        return used, max(layout.left(self.backward_sparsity), used)

    def weights_in_training(self, masked):
        """All weights in the first step, and those of the forward set after it."""
        used, _ = self._weights_in_sets(masked)
        steps = self.steps_in_training
        return [(1, masked.size), (steps - 1, used)] if steps > 1 else [(1, used)]

    def weights_with_gradients(self, masked):
        _, trained = self._weights_in_sets(masked)
        return trained

    def _weights_in_sets(self, masked):
        layout = masked.layout
        return [layout.groups * n * layout.unit_size for n in self._units_in_sets(masked)]

    @property
    def dense_gradient_every(self):
        return 0

    def get_config(self):
        return {
            **super().get_config(),
            "backward_sparsity": self.backward_sparsity,
            "update_every": self.update_every,
            "regularization": self.regularization,
        }
