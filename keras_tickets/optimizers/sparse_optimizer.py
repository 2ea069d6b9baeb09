"""The base of every sparse optimizer: any Keras optimizer, with masks that it respects."""

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence

import keras
import tensorflow as tf

from keras_tickets import _keras_compat
from keras_tickets._checks import check_flag
from keras_tickets._masked_kernel import MaskedKernel, apply_mask
from keras_tickets.masks import record_of
from keras_tickets.optimizers._dense_gradients import (
    DenseGradient,
    as_tensors,
    dense_gradients_of,
    divide,
    sum_over_replicas,
)
from keras_tickets.optimizers._exploration import Exploration
from keras_tickets.optimizers._kernel_state import (
    KernelState,
    apart,
    find_kernel_states,
    keeps_zeros,
    put_to_rest,
    update_on_devices,
    when,
)
from keras_tickets.optimizers._method import Method
from keras_tickets.optimizers._wrapper import OptimizerWrapper


class SparseOptimizer(Method, OptimizerWrapper):
    """Wraps any Keras optimizer and keeps masked weights and their slots at rest.

    After every step a kernel is exactly 0 where its mask is `False`, and a slot of the kernel's
    shape holds its initial value there. Learning rate, weight decay, clipping, averaging and
    gradient accumulation are set on the inner optimizer. Loss scaling is inside too: all replicas
    decide together whether a step is finite, and a step that is not changes neither weights nor
    masks.

    Subclasses define when the masks change (`update_due`) and how (`update_masks`), and say in
    class attributes what the method needs and starts from.

    Args:
        inner: Keras optimizer, its name or its config; not built yet.
        track_exploration: Whether to record which weights were ever active, for `exploration`. It
            takes one byte per weight.
        name: Name of the optimizer.

    Attributes:
        compiles_under_xla: Whether XLA compiles `apply`.

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

    optimizer = Once("sgd")
    ```
    """

    first_masks: tuple[str, ...] = ("random", "magnitude", "ones")
    compiles_under_xla: bool = False

    def __init__(
        self,
        inner: keras.optimizers.Optimizer | str | dict,
        *,
        track_exploration: bool = False,
        name: str | None = None,
    ):
        super().__init__(inner, name=name)
        self.track_exploration = check_flag("track_exploration", track_exploration)

    def check_storage(self, kernels):
        kernels = list(kernels)
        super().check_storage(kernels)
        stored = [kernel.name for kernel in kernels if kernel.storage == "sparse"]
        if self.track_exploration and stored:
            raise ValueError(
                "`track_exploration` remembers a byte for each position, which kernels that are "
                f"stored sparsely have no room for: {stored}. Received: track_exploration=True"
            )

    @_keras_compat.without_tracking
    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Builds the inner optimizer and finds the masks and slots of `variables`."""
        self.check_storage(filter(None, map(record_of, variables)))
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
    def kernels_at_rest(self) -> list[MaskedKernel]:
        """The kernels that are 0 off their masks before and after each step."""
        if not self.built or self.trains_off_mask:
            return []
        return [state.masked for state in self._masked_states]

    @property
    def _masked_states(self) -> list[KernelState]:
        """The kernels that have masks; in those that are stored sparsely nothing is off a mask."""
        return [state for state in self._kernel_states if state.masked.storage == "masked"]

    @property
    def exploration(self) -> float:
        """Share of the masked kernels' weights that have been active at any time (the ITOP rate).

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

    # Without this, AutoGraph would rewrite all that is called here in a user's `tf.function`.
    @tf.autograph.experimental.do_not_convert
    def apply(
        self,
        grads: Sequence[tf.Tensor],
        trainable_variables: Sequence[keras.Variable] | None = None,
        dense_gradients: Sequence[DenseGradient | None] | Mapping[str, DenseGradient] | None = None,
    ) -> None:
        """Steps, updates the masks, or both.

        Args:
            grads: One gradient for each variable.
            trainable_variables: The variables; those that the optimizer was built with by default.
            dense_gradients: Gradients of the masked kernels, also where the masks are `False`, as
                `kt.DenseGradientTape` gives them: one for each variable, `None` for those without a
                mask; or `{kernel path: gradient}`, with the paths in the model in which the kernels
                were first masked. Required if `needs_dense_gradients` is true.

        Raises:
            ValueError: Dense gradients are required and missing, or do not belong to these
                variables; the optimizer is not built and no variables are given; or the call is not
                made in a replica context.
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
        trained = {id(variable): i for i, variable in enumerate(variables)}
        states = [s for s in self._kernel_states if id(s.masked.kernel) in trained]
        dense = []
        if self.needs_dense_gradients:
            given = dense_gradients_of(variables, dense_gradients, type(self).__name__)
            states = [s for s in states if given[trained[id(s.masked.kernel)]] is not None]
            dense = [as_tensors(given[trained[id(s.masked.kernel)]]) for s in states]
        grads = self._gradients_of_kernels(grads, variables, states, dense)
        used = [*grads, *dense] if self.dense_gradient_every == 0 else grads
        finite = self._all_finite(used, context)

        def across(strategy, grads, dense, finite):
            self._apply_across_replicas(strategy, grads, variables, states, dense, finite)

        context.merge_call(across, args=(list(grads), dense, finite))

    def apply_gradients(
        self,
        grads_and_vars: Iterable[tuple[tf.Tensor, keras.Variable]],
        dense_gradients: Sequence[DenseGradient | None] | Mapping[str, DenseGradient] | None = None,
    ) -> keras.Variable:
        """`apply` for pairs of gradients and variables, as in Keras.

        Args:
            grads_and_vars: `(gradient, variable)` pairs.
            dense_gradients: As in `apply`.

        Returns:
            The step counter.
        """
        grads, variables = zip(*grads_and_vars, strict=True)
        self.apply(list(grads), list(variables), dense_gradients)
        return self.iterations

    def _all_finite(self, grads, context) -> tf.Tensor | None:
        """Whether the gradients of all replicas are finite; `None` without loss scaling."""
        if not self.scales_loss:
            return None
        finite = [tf.reduce_all(tf.math.is_finite(g)) for g in grads if g is not None]
        bad = 1.0 - tf.cast(tf.reduce_all(finite), tf.float32)
        if context.num_replicas_in_sync > 1:
            bad = context.all_reduce(tf.distribute.ReduceOp.SUM, bad)
        return tf.equal(bad, 0.0)

    def _gradients_of_kernels(self, grads, variables, states, dense):
        """The gradients, those of kernels as the method trains them."""
        if self.trains_off_mask:
            by_kernel = {
                id(state.masked.kernel): self.gradient_off_mask(state, gradient)
                for state, gradient in zip(states, dense, strict=True)
            }
            return [by_kernel.get(id(v), g) for v, g in zip(variables, grads, strict=True)]
        masks = {id(state.masked.kernel): state.masked.mask for state in self._masked_states}
        return [
            gradient
            if gradient is None or id(variable) not in masks
            else apply_mask(masks[id(variable)], tf.convert_to_tensor(gradient))
            for variable, gradient in zip(variables, grads, strict=True)
        ]

    def _apply_across_replicas(self, strategy, grads, variables, states, dense, finite) -> None:
        step = tf.convert_to_tensor(self.iterations)
        due = self.update_due(step)

        def update():
            self.update_masks(strategy, states, dense, step)
            self.rest(strategy)

        def step_on_replicas():
            alone = _keras_compat.no_sum_over_replicas(self.inner_optimizer)
            with alone if strategy.num_replicas_in_sync == 1 else contextlib.nullcontext():
                strategy.extended.call_for_each_replica(self._step_inner, args=(grads, variables))

        def step_inner():
            self.take_step(strategy, states, step_on_replicas)

        def update_instead():
            update()
            _keras_compat.skip_step(self.core_optimizer)

        def run():
            self.observe(strategy, states, dense, step)
            if due is None:
                step_inner()
            elif self.skip_gradient_step:
                when(due, apart(update_instead, strategy), step_inner)
            else:
                step_inner()
                when(due, apart(update, strategy))

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

        Every update of the masks ends with it, and so does `kt.set_masks`. Each call of the
        training function begins with it, since callbacks may have set masks or weights. Methods
        that train weights off the mask have nothing there to put to rest.

        Args:
            strategy: The `tf.distribute` strategy of the variables.
        """
        if not self.trains_off_mask:
            for state in self._masked_states:
                update_on_devices(strategy, state, put_to_rest)
        if self.track_exploration:
            self._exploration.see(strategy, self._kernel_states)

    def summed(
        self, strategy: tf.distribute.Strategy, states: list[KernelState], dense: list[tf.Tensor]
    ) -> list[tf.Tensor]:
        """Dense gradients of the unscaled loss, summed over replicas.

        Args:
            strategy: The `tf.distribute` strategy.
            states: The kernels.
            dense: Their dense gradients, as `observe` and `update_masks` get them.
        """

        def unscale(gradients):
            scale = self.scale_loss(1.0)
            return [divide(gradient, scale) for gradient in gradients]

        if self.scales_loss:
            dense = strategy.extended.call_for_each_replica(unscale, args=(dense,))
        return sum_over_replicas(strategy, states, dense)

    @property
    def selection_method(self) -> str:
        """The `method` of `_selection.choose` for where `apply` runs."""
        return "bit_search" if self.compiles_under_xla else "histogram"

    def take_step(
        self, strategy: tf.distribute.Strategy, states: list[KernelState], step: Callable[[], None]
    ) -> None:
        """Takes the inner optimizer's step and puts to rest what it moves off the masks.

        Called in cross-replica context.

        Args:
            strategy: The `tf.distribute` strategy, the default one if the user has none.
            states: The kernels that are trained at this step.
            step: Takes the step.
        """
        step()
        if not (self._keeps_zeros or self.trains_off_mask):
            self.rest(strategy)

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
