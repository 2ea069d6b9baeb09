"""DNW: discovering neural wirings."""

import keras

from keras_tickets.optimizers.straight_through import StraightThrough


@keras.saving.register_keras_serializable("keras_tickets")
class DNW(StraightThrough):
    """Trains all weights by the dense gradient; each kernel's largest are used, chosen every step.

    It is `kt.optimizers.StraightThrough` at the constant sparsity that `kt.sparsify` has set. The
    choice in every step makes it slower than other methods.

    Args:
        inner: Keras optimizer, its name or its config; not built yet.
        track_exploration: Whether to record which weights were ever active, for `exploration`. It
            takes one byte per weight.
        name: Name of the optimizer.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    optimizer = kt.optimizers.DNW(keras.optimizers.SGD(0.1, momentum=0.9))
    ```

    References:
        - [Wortsman, Farhadi and Rastegari, 2019, "Discovering neural wirings",
          Algorithm 1](https://arxiv.org/abs/1906.00586)
    """

    def __init__(
        self,
        inner: keras.optimizers.Optimizer | str | dict,
        *,
        track_exploration: bool = False,
        name: str | None = None,
    ):
        super().__init__(inner, track_exploration=track_exploration, name=name)

    def get_config(self):
        config = super().get_config()
        return {name: config[name] for name in ("name", "track_exploration", "inner")}
