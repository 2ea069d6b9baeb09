"""The base of every sparse optimizer: any Keras optimizer, with masks that it respects."""

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from keras_tickets import _keras_compat
from keras_tickets.masks import MaskedKernel
from keras_tickets.optimizers.exploration import Exploration
from keras_tickets.optimizers.topology import (
    Topology,
    find_topologies,
    keeps_zeros,
    put_to_rest,
    sum_over_replicas,
    update_on_devices,
    when,
)


class SparseOptimizer(keras.optimizers.Optimizer):
    """Wraps any Keras optimizer and keeps masked weights and their slots at rest.

    After every step a kernel is exactly 0 where its mask is `False`, and a slot of the kernel's
    shape holds its initial value there. Learning rate, weight decay, clipping, averaging and
    gradient accumulation are set on the inner optimizer. Loss scaling sits inside too: whether a
    step is finite is decided once for all replicas, and a step that is not finite neither changes
    weights nor masks.

    Subclasses say when the masks change (`update_due`) and how (`update_topology`).

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

    Raises:
        ValueError: `inner` is itself sparse, or built already.
    """

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
        if inner is None:
            raise TypeError("`inner` must be a Keras optimizer, its name or its config, not None.")
        inner = keras.optimizers.get(inner)
        if isinstance(_keras_compat.optimizer_core(inner), SparseOptimizer):
            raise ValueError(
                "`inner` must be a Keras optimizer, not a sparse one; loss scaling goes inside. "
                f"Received: inner={inner}"
            )
        if inner.built:
            raise ValueError(
                f"`inner` must not be built yet: its slots are found while it builds. Received the "
                f"built optimizer {inner.name!r}; pass a new one, `{type(inner).__name__}."
                f"from_config(optimizer.get_config())`."
            )
        super().__init__(learning_rate=0.0, name=name)
        self.inner_optimizer = inner
        self.track_exploration = track_exploration

    def enable_loss_scaling(self) -> None:
        """Puts a `keras.optimizers.LossScaleOptimizer` around the inner optimizer, once."""
        if not isinstance(self.inner_optimizer, keras.optimizers.LossScaleOptimizer):
            self.inner_optimizer = keras.optimizers.LossScaleOptimizer(self.inner_optimizer)

    @property
    def core_optimizer(self) -> keras.optimizers.Optimizer:
        """The inner optimizer without its loss scaling."""
        return _keras_compat.optimizer_core(self.inner_optimizer)

    @_keras_compat.without_tracking
    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Builds the inner optimizer and finds the masks and slots of `variables`."""
        variables = list(variables)
        with _keras_compat.record_slots() as slots:
            self.inner_optimizer.build(variables)
        _keras_compat.list_all_variables(self.core_optimizer)
        self._slots = [slot for _, slot, _ in slots]
        super().build(variables)
        self._topologies = find_topologies(variables, slots)
        self._keeps_zeros = keeps_zeros(self.core_optimizer, self._topologies)
        if self.track_exploration:
            self._exploration = Exploration(self, self._topologies)

    @property
    def topologies(self) -> list[Topology]:
        """The masked kernels that this optimizer was built with, with their slots."""
        return self._topologies

    @property
    def slots(self) -> list[keras.Variable]:
        """The inner optimizer's variables that belong to a weight each, such as its momentum."""
        return self._slots

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
        topologies = [t for t in self._topologies if id(t.masked.kernel) in trained]
        if self.needs_dense_gradients:
            if dense_gradients is None:
                raise ValueError(
                    f"{type(self).__name__} grows by dense gradients, which only a "
                    "`kt.SparseModel` computes: train with `kt.SparseModel(inputs, outputs)`, or "
                    "pass `dense_gradients=` to `apply`."
                )
            topologies = [t for t in topologies if dense_gradients.get(t.masked.path) is not None]
            dense = [tf.convert_to_tensor(dense_gradients[t.masked.path]) for t in topologies]
        else:
            dense = []
        if self.trains_off_mask:
            grads = self._gradients_off_mask(grads, variables, topologies, dense)
        used = [*grads, *dense] if self.dense_gradient_every == 0 else grads
        finite = self._all_finite(used, context)

        def across(strategy, grads, dense, finite):
            self._apply_across_replicas(strategy, grads, variables, topologies, dense, finite)

        context.merge_call(across, args=(list(grads), dense, finite))

    def _all_finite(self, grads, context) -> tf.Tensor | None:
        """Whether the gradients of all replicas are finite; `None` without loss scaling."""
        if self.core_optimizer is self.inner_optimizer:
            return None
        finite = [tf.reduce_all(tf.math.is_finite(g)) for g in grads if g is not None]
        bad = 1.0 - tf.cast(tf.reduce_all(finite), tf.float32)
        if context.num_replicas_in_sync > 1:
            bad = context.all_reduce(tf.distribute.ReduceOp.SUM, bad)
        return tf.equal(bad, 0.0)

    def _gradients_off_mask(self, grads, variables, topologies, dense):
        by_kernel = {
            id(t.masked.kernel): self.gradient_off_mask(t, gradient)
            for t, gradient in zip(topologies, dense, strict=True)
        }
        return [by_kernel.get(id(v), g) for v, g in zip(variables, grads, strict=True)]

    def _apply_across_replicas(self, strategy, grads, variables, topologies, dense, finite) -> None:
        step = tf.convert_to_tensor(self.iterations)
        due = self.update_due(step)

        def update(step):
            self.update_topology(strategy, topologies, dense, step)
            if self.track_exploration:
                self._exploration.see(strategy, topologies)

        def step_on_replicas():
            strategy.extended.call_for_each_replica(self._step_inner, args=(grads, variables))

        def step_inner():
            self.take_step(strategy, topologies, step_on_replicas)

        def update_instead():
            update(step)
            _keras_compat.skip_step(self.core_optimizer)

        def run():
            self.observe(strategy, topologies, dense, step)
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
        if self.core_optimizer is self.inner_optimizer:
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
            for topology in self._topologies:
                update_on_devices(strategy, topology, put_to_rest)
        if self.track_exploration:
            self._exploration.see(strategy, self._topologies)

    def summed(
        self, strategy, topologies: list[Topology], dense: list[tf.Tensor]
    ) -> list[tf.Tensor]:
        """Dense gradients of the loss itself, without its scale, summed over replicas.

        Args:
            strategy: The `tf.distribute` strategy.
            topologies: The kernels.
            dense: Their dense gradients, as `observe` and `update_topology` get them.
        """

        def unscale(gradients):
            scale = self.scale_loss(1.0)
            return [gradient / tf.cast(scale, gradient.dtype) for gradient in gradients]

        if self.core_optimizer is not self.inner_optimizer:
            dense = strategy.extended.call_for_each_replica(unscale, args=(dense,))
        return sum_over_replicas(strategy, topologies, dense)

    @property
    def selection_method(self) -> str:
        """The `method` of `_selection.choose` for where `apply` runs."""
        return "bit_search" if self.compiles_under_xla else "histogram"

    # --- What a method adds ---------------------------------------------------------------------

    @property
    def dense_gradient_every(self) -> int | None:
        """Steps between dense gradients, 0 where every step takes one, `None` where none does."""
        return None

    def gradient_off_mask(self, topology: Topology, gradient: tf.Tensor) -> tf.Tensor:
        """The gradient for a whole kernel, for methods that train weights off the mask.

        Args:
            topology: The kernel.
            gradient: Its dense gradient on this replica.
        """
        return gradient

    def observe(
        self, strategy, topologies: list[Topology], dense: list[tf.Tensor], step: tf.Tensor
    ) -> None:
        """Sees the dense gradients of every finite step before it, in cross-replica context.

        Args:
            strategy: The `tf.distribute` strategy; the default one where there is none.
            topologies: The kernels that are trained at this step.
            dense: The dense gradient of each, of each replica; see `summed`.
            step: int64 scalar, optimizer steps taken before this one.
        """

    def update_due(self, step: tf.Tensor) -> tf.Tensor | None:
        """Whether the masks change at this step; `None` where they never do.

        Args:
            step: int64 scalar, optimizer steps taken before this one.
        """
        return None

    def update_topology(
        self, strategy, topologies: list[Topology], dense: list[tf.Tensor], step: tf.Tensor
    ) -> None:
        """Changes the masks, in cross-replica context.

        Args:
            strategy: The `tf.distribute` strategy; the default one where there is none.
            topologies: The kernels that are trained at this step.
            dense: As in `observe`; empty unless `needs_dense_gradients`.
            step: int64 scalar, optimizer steps taken before this one.
        """

    def set_total_steps(self, total_steps: int, steps_per_epoch: int | None = None) -> None:
        """Tells the optimizer how long training is; `fit` does this by itself.

        Args:
            total_steps: Optimizer steps from step 0 to the end of training.
            steps_per_epoch: Optimizer steps per epoch, for steps given as `"10ep"`.
        """

    def take_step(self, strategy, topologies: list[Topology], step: Callable[[], None]) -> None:
        """Takes the inner optimizer's step and puts right what it leaves, across replicas.

        Args:
            strategy: The `tf.distribute` strategy; the default one where there is none.
            topologies: The kernels that are trained at this step.
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

    # --- The inner optimizer, seen from outside -------------------------------------------------

    @property
    def variables(self) -> list[keras.Variable]:
        return self._variables + self.inner_optimizer.variables

    @property
    def iterations(self):
        """Optimizer steps taken; with gradient accumulation, windows."""
        return self.inner_optimizer.iterations

    @property
    def learning_rate(self):
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate):
        self.inner_optimizer.learning_rate = learning_rate

    def scale_loss(self, loss):
        return self.inner_optimizer.scale_loss(loss)

    def finalize_variable_values(self, var_list):
        self.inner_optimizer.finalize_variable_values(var_list)

    def get_config(self):
        return {
            "name": self.name,
            "track_exploration": self.track_exploration,
            "inner": keras.saving.serialize_keras_object(self.inner_optimizer),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        inner = keras.saving.deserialize_keras_object(config["inner"], custom_objects)
        return cls(inner, **{name: value for name, value in config.items() if name != "inner"})
