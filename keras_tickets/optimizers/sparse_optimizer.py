"""The base of every sparse optimizer: any Keras optimizer, with masks that it respects."""

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from keras_tickets import _keras_compat
from keras_tickets.masks import MaskedKernel
from keras_tickets.optimizers._exploration import Exploration
from keras_tickets.optimizers._kernel_state import (
    KernelState,
    find_kernel_states,
    keeps_zeros,
    put_to_rest,
    sum_over_replicas,
    update_on_devices,
    when,
)
from keras_tickets.optimizers._wrapper import OptimizerWrapper


class SparseOptimizer(OptimizerWrapper):
    """Wraps any Keras optimizer and keeps masked weights and their slots at rest.

    After every step a kernel is exactly 0 where its mask is `False`, and a slot of the kernel's
    shape holds its initial value there. Learning rate, weight decay, clipping, averaging and
    gradient accumulation are set on the inner optimizer. Loss scaling sits inside too: whether a
    step is finite is decided once for all replicas, and a step that is not finite neither changes
    weights nor masks.

    Subclasses say when the masks change (`update_due`) and how (`update_masks`).

    Args:
        inner: Keras optimizer, its name or its config; not built yet.
        track_exploration: Whether to remember which weights were ever active, for `exploration`.
            Takes one more byte a weight.
        name: Name of the optimizer.

    Attributes:
        needs_dense_gradients: Whether `apply` needs dense gradients.
        trains_off_mask: Whether weights off the mask are trained too, so that a kernel is not 0
            there. What the layers compute with is masked all the same.
        skip_gradient_step: Whether an update of the masks replaces the gradient step.
        compiles_under_xla: Whether XLA compiles `apply`.
        first_masks: The values of `mask` in `kt.sparsify` that the method can start from, the one
            that it starts from where none was chosen first.

    Raises:
        ValueError: `inner` is itself sparse, or built already.

    Example:

    ```python
    import tensorflow as tf
    import keras_tickets as kt

    class Once(kt.optimizers.SparseOptimizer):
        def update_due(self, step):
            return tf.equal(step, 100)

        def update_masks(self, strategy, states, dense, step):
            for state in states:
                scores = tf.abs(tf.convert_to_tensor(state.masked.kernel))
                state.masked.mask.assign(state.masked.layout.choose(scores, 1))
            self.rest(strategy)

    optimizer = Once("sgd")
    ```
    """

    first_masks: tuple[str, ...] = ("random", "magnitude", "ones")
    needs_dense_gradients = False
    trains_off_mask = False
    skip_gradient_step = False
    compiles_under_xla = False

    def __init__(
        self,
        inner: keras.optimizers.Optimizer | str | dict,
        *,
        track_exploration: bool = False,
        name: str | None = None,
    ):
        super().__init__(inner, name=name)
        self.track_exploration = track_exploration

    @_keras_compat.without_tracking
    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Builds the inner optimizer and finds the masks and slots of `variables`."""
        super().build(variables)
        self._kernel_states = find_kernel_states(variables, self._recorded_slots)
        self._keeps_zeros = keeps_zeros(self.core_optimizer, self._kernel_states)
        if self.track_exploration:
            self._exploration = Exploration(self, self._kernel_states)

    @property
    def kernel_states(self) -> list[KernelState]:
        """The masked kernels that this optimizer was built with, with their slots."""
        return self._kernel_states

    @property
    def exploration(self) -> float:
        """Share of the masked kernels' weights that were active at any time (the ITOP rate).

        Raises:
            ValueError: The optimizer is not built, or was made without `track_exploration=True`.

        References:
            - [Liu et al., 2021, "Do we actually need dense over-parameterization? In-time
              over-parameterization in sparse training", section 3](https://arxiv.org/abs/2102.02887)
        """
        if not (self.built and self.track_exploration):
            raise ValueError(
                "`exploration` needs an optimizer that is built and was made with "
                f"`track_exploration=True`. Received: built={self.built}, "
                f"track_exploration={self.track_exploration}"
            )
        return self._exploration.share()

    # --- One step -------------------------------------------------------------------------------

    def apply(
        self,
        grads: Sequence[tf.Tensor],
        trainable_variables: Sequence[keras.Variable] | None = None,
        dense_gradients: dict[str, tf.Tensor] | None = None,
    ) -> None:
        """Steps, updates the masks, or both.

        Args:
            grads: One gradient for each variable.
            trainable_variables: The variables; those that the optimizer was built with by default.
            dense_gradients: `{kernel path: gradient of the masked kernel}`, each of its kernel's
                shape, also where the mask is `False`. Needed where `needs_dense_gradients` is true.

        Raises:
            ValueError: Dense gradients are needed and missing, the optimizer is not built and no
                variables are given, or the call is not made in a replica context.
        """
        if not self.built:
            if trainable_variables is None:
                raise ValueError(
                    "`trainable_variables` must be given, or the optimizer built on them first: "
                    "`optimizer.build(model.trainable_variables)`."
                )
            trainable_variables = list(trainable_variables)
            self.build(trainable_variables)
        variables = list(trainable_variables or self._trainable_variables)
        context = tf.distribute.get_replica_context()
        if context is None:
            raise ValueError(f"{type(self).__name__}.apply() must be called in a replica context.")
        trained = {id(variable) for variable in variables}
        states = [t for t in self._kernel_states if id(t.masked.kernel) in trained]
        if self.needs_dense_gradients:
            if dense_gradients is None:
                raise ValueError(
                    f"{type(self).__name__} grows by dense gradients, which only a "
                    "`kt.SparseModel` computes: train with `kt.SparseModel(inputs, outputs)`, or "
                    "pass `dense_gradients=` to `apply`."
                )
            states = [t for t in states if dense_gradients.get(t.masked.path) is not None]
            dense = [tf.convert_to_tensor(dense_gradients[t.masked.path]) for t in states]
        else:
            dense = []
        if self.trains_off_mask:
            grads = self._gradients_off_mask(grads, variables, states, dense)
        used = [*grads, *dense] if self.dense_gradient_every == 0 else grads
        finite = self._all_finite(used, context)

        def across(strategy, grads, dense, finite):
            self._apply_across_replicas(strategy, grads, variables, states, dense, finite)

        context.merge_call(across, args=(list(grads), dense, finite))

    def _all_finite(self, grads, context) -> tf.Tensor | None:
        """Whether the gradients of all replicas are finite; `None` without loss scaling."""
        if not self.scales_loss:
            return None
        finite = [tf.reduce_all(tf.math.is_finite(g)) for g in grads if g is not None]
        bad = 1.0 - tf.cast(tf.reduce_all(finite), tf.float32)
        if context.num_replicas_in_sync > 1:
            bad = context.all_reduce(tf.distribute.ReduceOp.SUM, bad)
        return tf.equal(bad, 0.0)

    def _gradients_off_mask(self, grads, variables, states, dense):
        by_kernel = {
            id(t.masked.kernel): self.gradient_off_mask(t, gradient)
            for t, gradient in zip(states, dense, strict=True)
        }
        return [by_kernel.get(id(v), g) for v, g in zip(variables, grads, strict=True)]

    def _apply_across_replicas(self, strategy, grads, variables, states, dense, finite) -> None:
        step = tf.convert_to_tensor(self.iterations)
        due = self.update_due(step)

        def update(step):
            self.update_masks(strategy, states, dense, step)
            if self.track_exploration:
                self._exploration.see(strategy, states)

        def step_on_replicas():
            strategy.extended.call_for_each_replica(self._step_inner, args=(grads, variables))

        def step_inner():
            self.take_step(strategy, states, step_on_replicas)

        def update_instead():
            update(step)
            _keras_compat.skip_step(self.core_optimizer)

        def run():
            self.observe(strategy, states, dense, step)
            if due is None:
                step_inner()
            elif self.skip_gradient_step:
                when(due, update_instead, step_inner)
            else:
                step_inner()
                when(due, lambda: update(step))

        if finite is None:
            run()
        else:
            back_off = _keras_compat.loss_scale_backoff
            finite = strategy.experimental_local_results(finite)[0]
            when(finite, run, lambda: back_off(self.inner_optimizer))

    def _step_inner(self, grads, variables) -> None:
        if not self.scales_loss:
            self.inner_optimizer.apply(grads, variables)
        else:
            _keras_compat.loss_scale_step(self.inner_optimizer, grads, variables)

    def rest(self, strategy: tf.distribute.Strategy) -> None:
        """Puts weights and slots off the masks back to rest, in cross-replica context.

        Every step leaves them so. `fit` begins with it and `kt.set_masks` ends with it, since masks
        or weights may have been set from outside. Methods that train weights off the mask have
        nothing there to put to rest.

        Args:
            strategy: The `tf.distribute` strategy of the variables.
        """
        if not self.trains_off_mask:
            for state in self._kernel_states:
                update_on_devices(strategy, state, put_to_rest)
        if self.track_exploration:
            self._exploration.see(strategy, self._kernel_states)

    def summed(
        self, strategy: tf.distribute.Strategy, states: list[KernelState], dense: list[tf.Tensor]
    ) -> list[tf.Tensor]:
        """Dense gradients of the loss itself, without its scale, summed over replicas.

        Args:
            strategy: The `tf.distribute` strategy.
            states: The kernels.
            dense: Their dense gradients, as `observe` and `update_masks` get them.
        """

        def unscale(gradients):
            scale = self.scale_loss(1.0)
            return [gradient / tf.cast(scale, gradient.dtype) for gradient in gradients]

        if self.scales_loss:
            dense = strategy.extended.call_for_each_replica(unscale, args=(dense,))
        return sum_over_replicas(strategy, states, dense)

    @property
    def selection_method(self) -> str:
        """The `method` of `_selection.choose` for where `apply` runs."""
        return "bit_search" if self.compiles_under_xla else "histogram"

    # --- What a method adds ---------------------------------------------------------------------

    @property
    def dense_gradient_every(self) -> int | None:
        """Steps between dense gradients, 0 where every step takes one, `None` where none does."""
        return None

    def gradient_off_mask(self, state: KernelState, gradient: tf.Tensor) -> tf.Tensor:
        """The gradient for a whole kernel, for methods that train weights off the mask.

        Args:
            state: The kernel.
            gradient: Its dense gradient on this replica.
        """
        return gradient

    def observe(
        self,
        strategy: tf.distribute.Strategy,
        states: list[KernelState],
        dense: list[tf.Tensor],
        step: tf.Tensor,
    ) -> None:
        """Sees the dense gradients of every finite step before it, in cross-replica context.

        Args:
            strategy: The `tf.distribute` strategy; the default one where there is none.
            states: The kernels that are trained at this step.
            dense: The dense gradient of each, of each replica; see `summed`.
            step: int64 scalar, optimizer steps taken before this one.
        """

    def update_due(self, step: tf.Tensor) -> tf.Tensor | None:
        """Whether the masks change at this step; `None` where they never do.

        Args:
            step: int64 scalar, optimizer steps taken before this one.
        """
        return None

    def update_masks(
        self,
        strategy: tf.distribute.Strategy,
        states: list[KernelState],
        dense: list[tf.Tensor],
        step: tf.Tensor,
    ) -> None:
        """Changes the masks, in cross-replica context.

        Args:
            strategy: The `tf.distribute` strategy; the default one where there is none.
            states: The kernels that are trained at this step.
            dense: As in `observe`; empty unless `needs_dense_gradients`.
            step: int64 scalar, optimizer steps taken before this one.
        """

    def set_total_steps(self, total_steps: int, steps_per_epoch: int | None = None) -> None:
        """Tells the optimizer how long training is; `fit` does this by itself.

        Args:
            total_steps: Optimizer steps from step 0 to the end of training.
            steps_per_epoch: Optimizer steps per epoch, for steps given as `"10ep"`.
        """

    def take_step(
        self, strategy: tf.distribute.Strategy, states: list[KernelState], step: Callable[[], None]
    ) -> None:
        """Takes the inner optimizer's step and puts right what it leaves, across replicas.

        Args:
            strategy: The `tf.distribute` strategy; the default one where there is none.
            states: The kernels that are trained at this step.
            step: Takes the step.
        """
        step()
        if not (self._keeps_zeros or self.trains_off_mask):
            self.rest(strategy)

    def weights_in_training(self, masked: MaskedKernel) -> list[tuple[int, float]]:
        """`(steps, weights)`: for how many steps of training a kernel has how many weights.

        Args:
            masked: The kernel. Unless a method knows better, it always has as many as now.
        """
        return [(1, masked.count())]

    def get_config(self) -> dict:
        return {
            "name": self.name,
            "track_exploration": self.track_exploration,
            "inner": keras.saving.serialize_keras_object(self.inner_optimizer),
        }

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None) -> "SparseOptimizer":
        inner = keras.saving.deserialize_keras_object(config["inner"], custom_objects)
        return cls(inner, **{name: value for name, value in config.items() if name != "inner"})
