"""The character language model of the RigL paper."""

import keras
from keras import layers

from keras_tickets.models.initialization import Initializer, seeded
from keras_tickets.models.widths import scaled


def char_gru(
    input_shape: tuple[int, ...] = (512,),
    classes: int = 256,
    *,
    width: float = 1.0,
    kernel_initializer: Initializer = "glorot_uniform",
    kernel_regularizer: str | dict | keras.regularizers.Regularizer | None = None,
    seed: int | None = None,
) -> keras.Model:
    """A GRU of 512 units that predicts the next character; 1,146,880 weights in masked kernels.

    Characters are embedded in 128 dimensions. Two dense layers of 256 ReLU units and 128 units read
    the state of the GRU, and the logits are products with the same embeddings, 32,768 weights,
    which stay dense in `kt.sparsify`.

    Args:
        input_shape: (length,) of a sequence of characters, integers from 0.
        classes: Number of characters.
        width: Factor for dimensions and units, each rounded, at least 1.
        kernel_initializer: Keras initializer of the kernels; those between states of the GRU are
            orthogonal, embeddings normal with length 1 on average, and biases start at zero.
        kernel_regularizer: Keras regularizer of the kernels and embeddings.
        seed: Makes the initial weights a function of this integer alone. None: Keras's global seed.

    Returns:
        A built `keras.Model` from int32 of shape (batch, length) to logits of shape (batch, length,
        classes). Kernel paths: `gru/gru_cell/kernel`, `gru/gru_cell/recurrent_kernel`,
        `readout1/kernel`, `readout2/kernel`; the embeddings: `embedding/embeddings`.

    Raises:
        ValueError: `input_shape` is not the shape of a sequence, or `width` is not positive.

    Example:

    ```python
    import keras_tickets as kt

    model = kt.models.char_gru((100,), classes=65, width=0.25)
    assert model.output_shape == (None, 100, 65)
    ```

    References:
        Evci et al., "Rigging the Lottery" (arXiv 1911.11134), section 4.2.
    """
    if len(input_shape) != 1:
        raise ValueError(f"`input_shape` must be (length,). Received: input_shape={input_shape!r}")
    dimensions, units, hidden = scaled((128, 512, 256), width)

    def settings(name):
        return {
            "kernel_initializer": seeded(kernel_initializer, seed, name),
            "kernel_regularizer": kernel_regularizer,
            "name": name,
        }

    embedding = layers.ReversibleEmbedding(
        classes,
        dimensions,
        embeddings_initializer=seeded(
            keras.initializers.RandomNormal(stddev=dimensions**-0.5), seed, "embedding"
        ),
        embeddings_regularizer=kernel_regularizer,
        name="embedding",
    )
    inputs = keras.Input(input_shape, dtype="int32", name="characters")
    x = layers.GRU(
        units,
        return_sequences=True,
        recurrent_initializer=seeded("orthogonal", seed, "gru_recurrent"),
        recurrent_regularizer=kernel_regularizer,
        **settings("gru"),
    )(embedding(inputs))
    x = layers.Dense(hidden, "relu", **settings("readout1"))(x)
    x = layers.Dense(dimensions, **settings("readout2"))(x)
    return keras.Model(inputs, embedding(x, reverse=True), name="char_gru")
