"""SET: grow at random."""

import keras

from keras_tickets._randomness import random_scores
from keras_tickets.optimizers.drop_and_grow import DropAndGrow


@keras.saving.register_keras_serializable("keras_tickets")
class SET(DropAndGrow):
    """Drops the smallest weights and grows as many others at random.

    By default the update follows the gradient step. Random draws are stateless: the same seed,
    kernel path and step choose the same positions on every device and in every process.

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

    def grow_scores(self, state, gradient, step):
        return random_scores(state.masked.kernel.shape, state.masked.name, self.seed, step)
