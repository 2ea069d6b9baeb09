"""SET: grow at random."""

import keras

from keras_tickets._randomness import random_scores
from keras_tickets.optimizers.drop_and_grow import DropAndGrow


@keras.saving.register_keras_serializable("keras_tickets")
class SET(DropAndGrow):
    """Drops the smallest weights and grows as many others at random.

    The update follows the gradient step. Random draws are stateless: the same seed, kernel and step
    choose the same positions on every device and in every process.

    Takes the arguments of `kt.optimizers.DropAndGrow`.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    optimizer = kt.optimizers.SET(keras.optimizers.Adam(1e-3), update_every=100, seed=1)
    ```

    References:
        - [Mocanu et al., 2018, "Scalable training of artificial neural networks with adaptive
          sparse connectivity"](https://arxiv.org/abs/1707.04780); by magnitude, where the paper
          drops the smallest positive and the largest negative weights
    """

    def grow_scores(self, state, gradient, step):
        return random_scores(state.masked.kernel.shape, state.masked.name, self.seed, step)
