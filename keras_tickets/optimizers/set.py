"""SET: grow at random."""

import keras

from keras_tickets._randomness import random_scores
from keras_tickets._selection import search
from keras_tickets._sparse_storage.positions import LARGEST_DENSE
from keras_tickets.optimizers.drop_and_grow import DropAndGrow


@keras.saving.register_keras_serializable("keras_tickets")
class SET(DropAndGrow):
    """Drops the smallest weights and grows as many others at random.

    By default the update follows the gradient step. Random draws are stateless: the same seed,
    kernel path and step choose the same positions on every device and in every process, in kernels
    with masks and in those that are stored sparsely. A kernel of 2**31 weights or more cannot have
    a mask: in such a one a random permutation draws the positions. They are as uniform, and the
    time does not grow with the size of the kernel.

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
            "random_uniform", between minus and plus their mean magnitude.
        grow_divisor: What the first value of a grown weight is divided by.
        skip_gradient_step: Whether an update replaces the gradient step. Otherwise it follows the
            step. The step counter advances either way.
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

    optimizer = kt.optimizers.SET(keras.optimizers.Adam(1e-3), update_every=100, seed=1)
    ```

    References:
        - [Mocanu et al., 2018, "Scalable training of artificial neural networks with adaptive
          sparse connectivity"](https://arxiv.org/abs/1707.04780). The paper drops the smallest
          positive and the largest negative weights; here magnitudes decide.
    """

    storages = ("masked", "sparse")

    def check_stored_kernel(self, kernel):
        if kernel.size <= LARGEST_DENSE:
            self.block_size(kernel)

    def grow_positions(self, state, gradient, taken, count, step):
        kernel = state.masked
        if kernel.size > LARGEST_DENSE:
            return search.draw_free_positions(
                kernel.size,
                count,
                taken=taken,
                path=kernel.name,
                seed=self.seed,
                step=step,
            )
        block = self.block_size(kernel)
        scores = search.random_scores_from(kernel.name, self.seed, step, block)
        return search.best_positions(scores, kernel.size, count, block=block, taken=taken)

    def grow_scores(self, state, gradient, step):
        return random_scores(state.masked.kernel.shape, state.masked.name, self.seed, step)
