"""The drop-and-grow update that SET, RigL and their relatives share."""

import keras
import tensorflow as tf

from keras_tickets import _keras_compat, schedules
from keras_tickets._checks import check_integer, check_seed
from keras_tickets._randomness import random_scores
from keras_tickets._sparse_storage import OuterProduct
from keras_tickets._sparse_storage.kernel import SparseKernel
from keras_tickets.optimizers import _stored_kernels
from keras_tickets.optimizers._grow_init import (
    GRADIENTS,
    check_grow_init,
    grown_values,
    initial_values,
    random_stream,
)
from keras_tickets.optimizers._growth_signal import PresentGradient
from keras_tickets.optimizers._kernel_state import KernelState, add_beside_mask, update_on_devices
from keras_tickets.optimizers.periodic import PeriodicOptimizer
from keras_tickets.step import Step


class DropAndGrow(PeriodicOptimizer):
    """Every `update_every` steps, drops some weights of each kernel and grows as many others.

    Of a kernel's n active weights, an update drops the `int(n * fraction)` (computed in float32)
    with the lowest drop scores. Then it grows the same number of weights: those with the highest
    grow scores among all that are inactive now, including those just dropped. So the number of
    active weights of each kernel is constant. Ties go to the lowest flat index. Dropped weights
    become 0 and their slots return to their initial values; a weight that is dropped and grown in
    the same update keeps its value and its slots.

    A method defines its scores: `grow_scores`, and `drop_scores` if it does not drop by magnitude.

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
            gradient; or "grad_sign", its sign. The last two need a method
            with dense gradients.
        grow_divisor: What the first value of a grown weight is divided by.
        skip_gradient_step: Whether an update replaces the gradient step. Otherwise it follows the
            step. The step counter advances either way.
        seed: Non-negative integer. Random draws depend on it, the kernel path and the step.
        track_exploration: Whether to record which weights were ever active, for `exploration`. It
            takes one byte per weight.
        search_memory: Bytes that an update may take to find the weights that grow in a kernel that
            is stored sparsely, besides copies of its values. For methods that train such kernels.
        name: Name of the optimizer.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: An argument is out of range, or no step would train the weights.

    Example:

    ```python
    import tensorflow as tf
    import keras_tickets as kt

    class GrowFirst(kt.optimizers.DropAndGrow):
        def grow_scores(self, state, gradient, step):
            shape = state.masked.kernel.shape
            return -tf.reshape(tf.range(shape.num_elements(), dtype=tf.float32), shape)

    optimizer = GrowFirst("sgd", update_every=100, drop_fraction=0.1)
    ```
    """

    first_masks = ("random", "magnitude")

    def __init__(
        self,
        inner: keras.optimizers.Optimizer | str | dict,
        *,
        update_every: int = 100,
        begin: int | float | str | Step = 0,
        end: int | float | str | Step = 0.75,
        drop_fraction: float | schedules.Schedule | None = None,
        grow_init: str = "zeros",
        grow_divisor: float = 1.0,
        skip_gradient_step: bool = False,
        seed: int = 0,
        track_exploration: bool = False,
        search_memory: int = 2**28,
        name: str | None = None,
    ):
        super().__init__(
            inner,
            update_every=update_every,
            begin=begin,
            end=end,
            track_exploration=track_exploration,
            name=name,
        )
        self.search_memory = check_integer("search_memory", search_memory, low=1)
        self.drop_fraction = schedules.get(
            schedules.Cosine(0.3) if drop_fraction is None else drop_fraction
        )
        check_grow_init(grow_init, grow_divisor, self.needs_dense_gradients)
        self.grow_init, self.grow_divisor = grow_init, float(grow_divisor)
        if not isinstance(skip_gradient_step, bool):
            raise TypeError(
                "`skip_gradient_step` must be True or False. Received: "
                f"skip_gradient_step={skip_gradient_step!r}"
            )
        self.skip_gradient_step = skip_gradient_step
        self.seed = check_seed(seed)
        if self.update_every == 1 and self.skip_gradient_step:
            raise ValueError(
                "`update_every=1` with `skip_gradient_step=True` would never take a gradient step. "
                "Use a larger `update_every`, or `skip_gradient_step=False`."
            )
        self._signal = PresentGradient(self)
        self.warn_of_empty_window()

    @_keras_compat.without_tracking
    def build(self, variables):
        super().build(variables)
        if self.grow_init == "initial_dist":
            self._initial = {id(s.masked): self._keep_initial_values(s) for s in self.kernel_states}
        self._signal.build()

    def check_storage(self, kernels):
        kernels = list(kernels)
        super().check_storage(kernels)
        for kernel in kernels:
            if kernel.storage == "sparse":
                self.check_stored_kernel(kernel)

    def check_stored_kernel(self, kernel: SparseKernel) -> None:
        """Raises an error where the method cannot train a kernel that is stored sparsely.

        Args:
            kernel: The kernel.

        Raises:
            ValueError: An argument of the method does not allow it.
        """

    def block_size(self, kernel: SparseKernel, row: int = 1) -> int:
        """How many positions of a kernel that is stored sparsely are searched at once.

        Args:
            kernel: The kernel.
            row: A block is a multiple of so many positions.

        Raises:
            ValueError: `search_memory` does not suffice for one row.
        """
        with tf.init_scope():
            shares = self.drop_fraction(tf.linspace(0.0, 1.0, 101)).numpy()
        return _stored_kernels.block_size(kernel, self.search_memory, shares.max(), row)

    def _keep_initial_values(self, state):
        with tf.init_scope():
            values = initial_values(state.masked)
        return add_beside_mask(
            self, state, "initial", values.shape, values.dtype.name, lambda shape, dtype: values
        )

    def drop_scores(self, kernel: tf.Tensor) -> tf.Tensor:
        """Scores of the weights; the lowest are dropped. By default, their magnitudes.

        Args:
            kernel: float tensor, a kernel's values.

        Returns:
            float32 tensor of the same shape.
        """
        return tf.abs(tf.cast(kernel, tf.float32))

    def grow_scores(
        self, state: KernelState, gradient: tf.Tensor | None, step: tf.Tensor
    ) -> tf.Tensor:
        """Scores of the positions of a kernel; the highest are grown.

        Args:
            state: The kernel, its mask and slots.
            gradient: The dense gradient that the method grows by, summed over replicas; `None`
                unless `needs_dense_gradients`.
            step: int64 scalar, optimizer steps taken before this one.

        Returns:
            float32 tensor of the kernel's shape.
        """
        raise TypeError(f"{type(self).__name__} must define `grow_scores`.")

    def grow_positions(
        self,
        state: KernelState,
        gradient: OuterProduct | None,
        taken: tf.Tensor,
        count: tf.Tensor,
        step: tf.Tensor,
    ) -> tf.Tensor:
        """The positions that grow in a kernel that is stored sparsely.

        Args:
            state: The kernel and its slots.
            gradient: Its dense gradient, in two factors; `None` unless `needs_dense_gradients`.
            taken: int64 tensor, sorted: the positions that are kept.
            count: How many positions grow, an int32 scalar.
            step: int64 scalar.

        Returns:
            int64 tensor of shape (count,), none of them in `taken`.
        """
        raise TypeError(f"{type(self).__name__} must define `grow_positions`.")

    def growth_counts(
        self,
        strategy: tf.distribute.Strategy,
        states: list[KernelState],
        dense: list,
        fraction: tf.Tensor,
    ) -> list[tf.Tensor | None]:
        """The number of weights that each kernel grows; `None` for as many as it drops.

        Args:
            strategy: The `tf.distribute` strategy.
            states: The kernels that are trained at this step.
            dense: The dense gradient of each kernel, a value per replica.
            fraction: float32 scalar, the share of its active weights that each kernel drops.
        """
        return [None] * len(states)

    def observe(self, strategy, states, dense, step):
        self._signal.observe(strategy, states, dense, step)

    def update_masks(self, strategy, states, dense, step):
        fraction = self.drop_fraction(self.progress(step))
        counts = self.growth_counts(strategy, states, dense, fraction)
        signals = self._signal.read(strategy, states, dense) if dense else []
        for i, state in enumerate(states):
            if state.masked.storage == "sparse":
                update = _stored_kernels.drop_and_grow(self, state, fraction, step)
            else:
                update = self._drop_and_grow(state, fraction, counts[i], step)
            given = []
            if signals:
                given.append(signals[i])
            if self.grow_init == "initial_dist":
                given.append(self._initial[id(state.masked)].value)
            update_on_devices(strategy, state, update, *given)

    def _drop_and_grow(self, state: KernelState, fraction, grown, step: tf.Tensor):
        masked = state.masked

        def update(kernel, mask, *given_and_slots, initial):
            rest = list(given_and_slots)
            gradient = start = None
            if self.needs_dense_gradients:
                gradient = tf.convert_to_tensor(rest.pop(0))
            if self.grow_init == "initial_dist":
                start = tf.convert_to_tensor(rest.pop(0))
            old, values = tf.convert_to_tensor(mask), tf.convert_to_tensor(kernel)
            new = masked.layout.update(
                old,
                self.drop_scores(values),
                self.grow_scores(state, gradient, step),
                fraction,
                grown=grown,
                target=masked.target,
                method=self.selection_method,
            )
            if self.grow_init != "zeros":
                uniform = None
                if self.grow_init not in GRADIENTS:
                    path = random_stream(masked.name)
                    uniform = random_scores(values.shape, path, self.seed, step)
                active = tf.math.count_nonzero(old)
                grown_value = grown_values(self.grow_init, values, active, gradient, start, uniform)
                start = grown_value / self.grow_divisor
                kernel.assign(tf.where(new & ~old, start, values))
            mask.assign(new)

        return update

    def get_config(self):
        return {
            **super().get_config(),
            "drop_fraction": keras.saving.serialize_keras_object(self.drop_fraction),
            "grow_init": self.grow_init,
            "grow_divisor": self.grow_divisor,
            "skip_gradient_step": self.skip_gradient_step,
            "seed": self.seed,
            **({"search_memory": self.search_memory} if "sparse" in self.storages else {}),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        if isinstance(config.get("drop_fraction"), dict):
            config["drop_fraction"] = keras.saving.deserialize_keras_object(
                config["drop_fraction"], custom_objects
            )
        return super().from_config(config, custom_objects)
