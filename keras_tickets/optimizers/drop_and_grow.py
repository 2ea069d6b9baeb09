"""The drop-and-grow update that SET, RigL and their relatives share."""

import warnings

import keras
import tensorflow as tf

from keras_tickets import _keras_compat, masks, schedules
from keras_tickets.optimizers.grow_init import check_grow_init, grown_values
from keras_tickets.optimizers.sparse_optimizer import SparseOptimizer, Topology, update_on_devices
from keras_tickets.step import Step


class DropAndGrow(SparseOptimizer):
    """Every `update_every` steps, drops some weights of each kernel and grows as many others.

    An update is due at step t (optimizer steps taken before this one) when
    `begin <= t < end` and `(t - begin) % update_every == 0`, never at t = 0, where the mask has
    just been drawn. Of a kernel's n active weights, `int(n * fraction)` (float32, truncated) with
    the lowest drop scores go; then as many with the highest grow scores come, among all that are
    not kept, those just dropped included. The number of active weights of each kernel is constant.
    Dropped weights become 0 and their slots return to their initial value; a weight that is dropped
    and grown at once keeps both. Ties go to the lowest flat index.

    A method is its scores: `drop_scores` and `grow_scores`.

    Args:
        inner: Keras optimizer, its name or its config; not built yet.
        update_every: Optimizer steps between updates.
        begin: First step (anything `kt.Step` takes) at which an update may happen.
        end: Step from which on no update happens.
        drop_fraction: Share of active weights dropped, a float (constant) or an object of
            `kt.schedules`.
        grow_init: Value of grown weights: "zeros", "random_normal", "random_uniform",
            "grad_scale" or "grad_sign"; the last two need a method with dense gradients.
        skip_gradient_step: Whether an update replaces the gradient step; otherwise it follows it.
            The step counter advances either way.
        seed: Non-negative integer; random draws depend on it, the kernel path and the step.
        name: Name of the optimizer.

    Raises:
        ValueError: An argument is out of range, or their combination learns nothing.
    """

    def __init__(
        self,
        inner,
        *,
        update_every=100,
        begin=0,
        end=0.75,
        drop_fraction=None,
        grow_init="zeros",
        skip_gradient_step=None,
        seed=0,
        name=None,
    ):
        super().__init__(inner, name=name)
        self.update_every = _positive_int("update_every", update_every)
        self.begin = Step(begin)
        self.end = Step(end)
        self.drop_fraction = schedules.get(
            schedules.Cosine(0.3) if drop_fraction is None else drop_fraction
        )
        self.grow_init = check_grow_init(grow_init, self.needs_dense_gradients)
        if skip_gradient_step is not None:
            if not isinstance(skip_gradient_step, bool):
                raise TypeError(
                    "`skip_gradient_step` must be True, False or None. Received: "
                    f"skip_gradient_step={skip_gradient_step!r}"
                )
            self.skip_gradient_step = skip_gradient_step
        self.seed = masks.check_seed(seed)
        if self.update_every == 1 and self.skip_gradient_step:
            raise ValueError(
                "`update_every=1` with `skip_gradient_step=True` would never take a gradient step. "
                "Use a larger `update_every`, or `skip_gradient_step=False`."
            )
        self._total = {}
        self._window = self.add_variable(
            (2,),
            dtype="int64",
            initializer=lambda shape, dtype: tf.constant([-1, -1], dtype),
            aggregation="only_first_replica",
            name="update_window",
        )
        if not (self.begin.is_relative or self.end.is_relative):
            self._resolve()

    # --- When -----------------------------------------------------------------------------------

    def set_total_steps(self, total_steps, steps_per_epoch=None):
        total = {"total_steps": total_steps, "steps_per_epoch": steps_per_epoch}
        if self.window is None:
            self._total = total
            self._resolve()
        elif self.window != (self.begin.resolve(**total), self.end.resolve(**total)):
            warnings.warn(
                f"The masks change from step {self.window[0]} to {self.window[1]}, as found by "
                f"the first `fit`; a training of {total_steps} steps does not alter that. Compile "
                "with a new optimizer to start over.",
                stacklevel=2,
            )

    @property
    def window(self) -> tuple[int, int] | None:
        """`begin` and `end` as numbers of steps; `None` while they are not known."""
        with tf.init_scope():
            begin, end = (int(step) for step in self._window.numpy())
        return None if end < 0 else (begin, end)

    def _resolve(self):
        begin, end = self.begin.resolve(**self._total), self.end.resolve(**self._total)
        if begin > end:
            raise ValueError(
                "`begin` must not be after `end`. Received: "
                f"begin={self.begin.value!r} (step {begin}), end={self.end.value!r} (step {end})."
            )
        self._window.assign([begin, end])

    def update_due(self, step):
        if self.window is None:
            self._resolve()
        begin, end = tf.unstack(tf.convert_to_tensor(self._window))
        in_window = (step > 0) & (step >= begin) & (step < end)
        on_beat = tf.equal((step - begin) % self.update_every, 0)
        return in_window & on_beat & _keras_compat.closes_window(self.core_optimizer)

    # --- What -----------------------------------------------------------------------------------

    def drop_scores(self, kernel: tf.Tensor) -> tf.Tensor:
        """The weights with the lowest of these scores are dropped: their magnitude.

        Args:
            kernel: float tensor, a kernel's values.

        Returns:
            float32 tensor of the same shape.
        """
        return tf.abs(tf.cast(kernel, tf.float32))

    def grow_scores(self, topology: Topology, gradient: tf.Tensor | None, step: tf.Tensor):
        """The positions with the highest of these scores are grown.

        Args:
            topology: The kernel, its mask and slots.
            gradient: Dense gradient, summed over replicas; `None` unless
                `needs_dense_gradients`.
            step: int64 scalar.

        Returns:
            float32 tensor of the kernel's shape.
        """
        raise TypeError(f"{type(self).__name__} must define `grow_scores`.")

    def update_topology(self, strategy, topologies, dense, step):
        begin, end = tf.unstack(tf.cast(tf.convert_to_tensor(self._window), tf.float64))
        progress = (tf.cast(step, tf.float64) - begin) / tf.maximum(end - begin, 1.0)
        fraction = self.drop_fraction(progress)
        for i, topology in enumerate(topologies):
            gradient = (dense[i],) if dense else ()
            update_on_devices(
                strategy, topology, self._drop_and_grow(topology, fraction, step), *gradient
            )

    def _drop_and_grow(self, topology: Topology, fraction: tf.Tensor, step: tf.Tensor):
        path, choose = topology.masked.path, topology.masked.structure.choose
        method = "bit_search" if self.compiles_under_xla else "histogram"

        def update(kernel, mask, *rest, initial):
            gradient, slots = (rest[0], rest[1:]) if self.needs_dense_gradients else (None, rest)
            old, values = tf.convert_to_tensor(mask), tf.convert_to_tensor(kernel)
            active = tf.math.count_nonzero(old, dtype=tf.int32)
            dropped = tf.cast(tf.cast(active, tf.float32) * fraction, tf.int32)
            kept = choose(self.drop_scores(values), active - dropped, among=old, method=method)
            scores = self.grow_scores(topology, gradient, step)
            grown = choose(scores, dropped, among=~kept, method=method)
            new = kept | grown
            if self.grow_init != "zeros":
                true = None if gradient is None else self.unscale(gradient)
                start = grown_values(self.grow_init, values, old, true, path, self.seed, step)
                values = tf.where(grown & ~old, start, values)
            for variable, rest_value in zip((kernel, *slots), (0.0, *initial), strict=True):
                moved = values if variable is kernel else tf.convert_to_tensor(variable)
                variable.assign(masks.apply_mask(new, moved, rest_value))
            mask.assign(new)

        return update

    def get_config(self):
        return {
            **super().get_config(),
            "update_every": self.update_every,
            "begin": self.begin.value,
            "end": self.end.value,
            "drop_fraction": keras.saving.serialize_keras_object(self.drop_fraction),
            "grow_init": self.grow_init,
            "skip_gradient_step": self.skip_gradient_step,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        if isinstance(config.get("drop_fraction"), dict):
            config["drop_fraction"] = keras.saving.deserialize_keras_object(
                config["drop_fraction"], custom_objects
            )
        return super().from_config(config, custom_objects)


def _positive_int(name: str, value) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"`{name}` must be a positive integer. Received: {name}={value!r}")
    return value
