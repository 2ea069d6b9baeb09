"""`kt.DenseGradientTape`: dense gradients in loops of one's own."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from networks import mlp

import keras_tickets as kt

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(8, 10)).astype("float32"), RNG.normal(size=(8, 3)).astype("float32")


def loss_of(model, x=X):
    return keras.ops.mean((model(x, training=True) - Y) ** 2)


def test_gradients_are_those_of_the_plain_tape_and_dense_ones_those_of_the_masked_kernels():
    model = kt.sparsify(mlp(), 0.5)
    variables = model.trainable_variables
    with tf.GradientTape() as plain:
        loss = loss_of(model)
    expected = plain.gradient(loss, variables)
    with kt.DenseGradientTape() as tape:
        loss = loss_of(model)
    gradients, dense = tape.gradients(loss, variables)
    stripped = kt.strip(model)
    with tf.GradientTape() as plain:
        loss = loss_of(stripped)
    whole = plain.gradient(loss, stripped.trainable_variables)
    masks = dict(kt.get_masks(model))
    for variable, found, wanted, full, by_hand in zip(
        variables, gradients, expected, dense, whole, strict=True
    ):
        np.testing.assert_allclose(found, wanted, rtol=1e-6)
        if "kernel" in variable.name:
            np.testing.assert_allclose(full, by_hand, atol=1e-6)
            mask = masks[variable.path]
            np.testing.assert_allclose(found, np.where(mask, by_hand, 0), atol=1e-6)
        else:
            assert full is None


@pytest.mark.parametrize("in_graph", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_loop_of_ones_own_is_fit(in_graph):
    models = [kt.sparsify(mlp(), 0.5) for _ in range(2)]

    def optimizer():
        return kt.optimizers.RigL(keras.optimizers.SGD(0.1, momentum=0.9), update_every=2, end=50)

    models[0].compile(optimizer(), "mse")
    models[0].fit(X, Y, batch_size=8, epochs=7, verbose=0)
    ours, model = optimizer(), models[1]
    ours.build(model.trainable_variables)

    def step():
        with kt.DenseGradientTape() as tape:
            loss = loss_of(model)
        gradients, dense = tape.gradients(loss, model.trainable_variables)
        pairs = zip(gradients, model.trainable_variables, strict=True)
        ours.apply_gradients(pairs, dense_gradients=dense)

    if in_graph:
        step = tf.function(step)
    for _ in range(7):
        step()
    for a, b in zip(models[0].get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_two_models_and_two_optimizers_under_two_tapes():
    """A GAN: the discriminator is called twice, and its tape holds the generator too."""
    inputs = keras.Input((4,))
    generator = kt.sparsify(keras.Model(inputs, keras.layers.Dense(10, name="g")(inputs)), 0.5)
    critic = kt.sparsify(mlp(classes=1), 0.5)
    rigl = [kt.optimizers.RigL("sgd", update_every=2, end=50) for _ in range(2)]
    noise = RNG.normal(size=(8, 4)).astype("float32")
    before = [generator.masks, critic.masks]
    for _ in range(5):
        with kt.DenseGradientTape() as of_generator, kt.DenseGradientTape() as of_critic:
            fake = generator(noise, training=True)
            scores = critic(X, training=True), critic(fake, training=True)
            losses = -tf.reduce_mean(scores[1]), tf.reduce_mean(scores[1] - scores[0])
        for tape, loss, model, optimizer in zip(
            (of_generator, of_critic), losses, (generator, critic), rigl, strict=True
        ):
            gradients, dense = tape.gradients(loss, model.trainable_variables)
            assert sum(each is not None for each in dense) == len(model.masks)
            optimizer.apply(gradients, model.trainable_variables, dense_gradients=dense)
    for model, masks in zip((generator, critic), before, strict=True):
        changed = [path for path, mask in model.masks.items() if np.any(mask != masks[path])]
        assert changed
        for path, mask in model.masks.items():
            assert mask.sum() == masks[path].sum()
            assert not kt.weight_paths(model)[path].numpy()[~mask].any()


def test_missing_and_wrong_dense_gradients_are_named():
    model = kt.sparsify(mlp(), 0.5)
    optimizer = kt.optimizers.RigL("sgd", update_every=2, end=50)
    variables = model.trainable_variables
    zeros = [tf.zeros(v.shape) for v in variables]
    with pytest.raises(ValueError, match="kt.DenseGradientTape"):
        optimizer.apply_gradients(zip(zeros, variables, strict=True))
    with pytest.raises(ValueError, match=r"names \['fc9/kernel'\].*fc1/kernel"):
        optimizer.apply(zeros, variables, dense_gradients={"fc9/kernel": zeros[0]})
    with pytest.raises(ValueError, match="one entry for each of the 4 variables. Received: 1"):
        optimizer.apply(zeros, variables, dense_gradients=zeros[:1])
