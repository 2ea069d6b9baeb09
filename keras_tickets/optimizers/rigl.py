"""RigL: grow where the dense gradient is large."""

import keras
import tensorflow as tf

from keras_tickets._checks import check_integer
from keras_tickets._randomness import random_positions
from keras_tickets._selection.exact import choose
from keras_tickets._selection.search import is_taken
from keras_tickets.optimizers._growth_signal import MeanOfBatches
from keras_tickets.optimizers._stored_kernels import gradient_at, search_products
from keras_tickets.optimizers.drop_and_grow import DropAndGrow
from keras_tickets.schedules import Schedule
from keras_tickets.step import Step

LARGEST_SEARCH = 2**34


@keras.saving.register_keras_serializable("keras_tickets")
class RigL(DropAndGrow):
    """Drops the smallest weights and grows those with the largest dense gradient.

    The dense gradient is the gradient of the current batch's loss, without regularizers, with
    respect to the masked kernel. It is summed over replicas before its magnitude is taken. By
    default an update replaces the gradient step, as in the paper's Algorithm 1.

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
        mean_over: Grow by the mean dense gradient of this many batches, the last of which is that
            of the update. With gradient accumulation a step takes several batches. More than 1
            costs one more float copy of every kernel.
        inverted: Grow where the dense gradient is smallest instead: an ablation.
        candidates: For kernels that are stored sparsely: grow the best of this many positions,
            which each update draws at random; at least as many as the kernel has weights. `None`
            for the best of all, in kernels of at most 2**34 positions.
        seed: Non-negative integer. Random draws depend on it, the kernel path and the step.
        track_exploration: Whether to record which weights were ever active, for `exploration`. It
            takes one byte per weight.
        search_memory: Bytes that an update may take to find the weights that grow in a kernel that
            is stored sparsely, besides copies of its values.
        name: Name of the optimizer.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    optimizer = kt.optimizers.RigL(
        keras.optimizers.SGD(0.1, momentum=0.9), update_every=100, end=0.75, drop_fraction=0.3
    )
    ```

    References:
        - [Evci et al., 2020, "Rigging the Lottery", Algorithm 1](https://arxiv.org/abs/1911.11134)
    """

    needs_dense_gradients = True
    storages = ("masked", "sparse")

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
        skip_gradient_step: bool = True,
        mean_over: int = 1,
        inverted: bool = False,
        candidates: int | None = None,
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
            drop_fraction=drop_fraction,
            grow_init=grow_init,
            grow_divisor=grow_divisor,
            skip_gradient_step=skip_gradient_step,
            seed=seed,
            track_exploration=track_exploration,
            search_memory=search_memory,
            name=name,
        )
        self.mean_over = check_integer("mean_over", mean_over, low=1)
        self.inverted = inverted
        self.candidates = candidates
        if candidates is not None:
            check_integer("candidates", candidates, low=1)
        between = self.update_every * self.batches_per_step
        if mean_over > between:
            raise ValueError(
                f"`mean_over` must be at most the number of batches between updates, {between}. "
                f"Received: mean_over={mean_over}"
            )
        if mean_over > 1:
            self._signal = MeanOfBatches(self, mean_over)

    def grow_scores(self, state, gradient, step):
        scores = tf.abs(tf.cast(gradient, tf.float32))
        return -scores if self.inverted else scores

    def check_storage(self, kernels):
        kernels = list(kernels)
        super().check_storage(kernels)
        if self.candidates and not any(kernel.storage == "sparse" for kernel in kernels):
            raise ValueError(
                "`candidates` is for kernels that are stored sparsely, and there are none: in "
                f"masked ones all positions are ranked. Received: candidates={self.candidates}"
            )

    def check_stored_kernel(self, kernel):
        if self.mean_over > 1:
            raise ValueError(
                "`mean_over` keeps a mean of whole dense gradients, which kernels that are stored "
                f"sparsely do not have: use 1. Received: mean_over={self.mean_over} with kernel "
                f"{kernel.name!r}"
            )
        if self.candidates is None:
            if kernel.size > LARGEST_SEARCH:
                raise ValueError(
                    f"Kernel {kernel.name!r} has {kernel.size:,} positions. Up to "
                    f"{LARGEST_SEARCH:,} are all ranked; pass `candidates=` to rank some of "
                    "them, drawn at random, or use `kt.optimizers.SET`. Received: candidates=None"
                )
            self.block_size(kernel, row=kernel.shape[1])
        elif self.candidates < kernel.count():
            raise ValueError(
                f"`candidates` must be at least the {kernel.count():,} weights of kernel "
                f"{kernel.name!r}. Received: candidates={self.candidates}"
            )

    def grow_positions(self, state, gradient, taken, count, step):
        def scores(gradient):
            return self.grow_scores(state, gradient, step)

        kernel = state.masked
        if self.candidates is None or self.candidates >= kernel.size:
            block = self.block_size(kernel, row=kernel.shape[1])
            return search_products(state, gradient, scores, count, block=block, taken=taken)
        drawn = random_positions(self.candidates, kernel.size, kernel.name, self.seed, step)
        free = ~is_taken(drawn, taken)
        chosen = choose(scores(gradient_at(kernel, drawn, gradient)), count, among=free)
        return tf.gather(drawn, tf.where(chosen)[:, 0])

    def weights_with_gradients(self, masked):
        if self.candidates is None or masked.storage == "masked":
            return masked.size
        return min(masked.count() + self.candidates, masked.size)

    @property
    def dense_gradient_every(self):
        """Counted in batches: `mean_over` of those between two updates need a dense gradient."""
        return self.update_every * self.batches_per_step // self.mean_over

    @property
    def dense_steps_per_update(self):
        return self.mean_over / self.batches_per_step

    def get_config(self):
        return {
            **super().get_config(),
            "mean_over": self.mean_over,
            "inverted": self.inverted,
            "candidates": self.candidates,
        }
