"""LeNet-300-100, the fully connected network of the lottery-ticket and RigL papers."""

import keras
from keras import layers

from keras_tickets.models.initialization import Initializer, seeded
from keras_tickets.models.widths import scaled


def lenet_300_100(
    input_shape: tuple[int, ...] = (28, 28, 1),
    classes: int = 10,
    *,
    width: float = 1.0,
    kernel_initializer: Initializer = "glorot_normal",
    seed: int | None = None,
) -> keras.Model:
    """LeNet-300-100: two hidden layers of 300 and 100 ReLU units.

    Kernel paths: `fc1/kernel`, `fc2/kernel`, `logits/kernel`; 266,200 weights for 28x28 inputs.

    Args:
        input_shape: Shape of one example, flattened by the first layer.
        classes: Number of output units.
        width: Factor for the number of hidden units, each rounded, at least 1.
        kernel_initializer: Keras initializer of every kernel; biases start at zero.
        seed: Makes the initial weights a function of this integer alone. None: Keras's global seed.

    Returns:
        A built `keras.Model` from (batch, *input_shape) to logits of shape (batch, classes).

    Example:

    ```python
    import keras_tickets as kt

    assert kt.models.lenet_300_100(seed=0).count_params() == 266610
    ```

    References:
        LeCun et al., "Gradient-Based Learning Applied to Document Recognition", 1998.
        Frankle and Carbin, "The Lottery Ticket Hypothesis", ICLR 2019, figure 2.
    """
    first, second = scaled((300, 100), width)
    inputs = keras.Input(input_shape, name="image")
    x = layers.Flatten(name="flatten")(inputs)
    for name, units, activation in (
        ("fc1", first, "relu"),
        ("fc2", second, "relu"),
        ("logits", classes, None),
    ):
        initializer = seeded(kernel_initializer, seed, name)
        x = layers.Dense(units, activation, kernel_initializer=initializer, name=name)(x)
    return keras.Model(inputs, x, name="lenet_300_100")
