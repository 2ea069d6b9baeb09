"""The Hessian, against second derivatives that plain NumPy finds from its own network."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from networks import LOSS, mlp

import keras_tickets as kt

RNG = np.random.default_rng(0)
X = RNG.normal(size=(30, 6))
Y = np.arange(30) % 3
DATA = X.astype("float32"), Y


def model_and_masks(sparsity=0.6):
    model = kt.sparsify(mlp(6, (20,), activation="tanh"), sparsity, distribution="uniform")
    return model, model.masks


def numpy_gradient(weights, shapes):
    """The gradient of the mean cross-entropy of `tanh(x a + b) c + d`; complex weights too."""
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]
    a, b, c, d = (
        part.reshape(shape) for part, shape in zip(np.split(weights, ends), shapes, strict=True)
    )
    hidden = np.tanh(X @ a + b)
    logits = hidden @ c + d
    powers = np.exp(logits - logits.real.max(axis=1, keepdims=True))
    errors = (powers / powers.sum(axis=1, keepdims=True) - np.eye(3)[Y]) / len(X)
    back = (errors @ c.T) * (1 - hidden**2)
    parts = X.T @ back, back.sum(axis=0), hidden.T @ errors, errors.sum(axis=0)
    return np.concatenate([part.reshape(-1) for part in parts])


def numpy_hessian(model):
    """Exact to rounding: the complex step needs no difference of nearby numbers."""
    values = [variable.numpy().astype(float) for variable in model.trainable_variables]
    weights, shapes = np.concatenate([v.reshape(-1) for v in values]), [v.shape for v in values]
    columns = []
    for i in range(len(weights)):
        step = weights.astype(complex)
        step[i] += 1e-30j
        columns.append(numpy_gradient(step, shapes).imag / 1e-30)
    return np.array(columns).T


def live(model):
    """Which of the trainable weights are live, in order."""
    masks, paths = model.masks, {id(v): path for path, v in kt.weight_paths(model).items()}
    parts = [
        masks.get(paths[id(v)], np.ones(v.shape, bool)).reshape(-1)
        for v in model.trainable_variables
    ]
    return np.concatenate(parts)


@pytest.fixture(scope="module")
def exact():
    """A sparse model, and the Hessian of its live weights as a matrix."""
    model, _ = model_and_masks()
    chosen = live(model)
    return model, numpy_hessian(model)[np.ix_(chosen, chosen)]


def test_lanczos_agrees_with_the_dense_eigenvalues(exact):
    model, matrix = exact
    found = kt.analysis.curvature(model, DATA, LOSS, steps=50, probes=60, batch_size=20)
    expected = np.linalg.eigvalsh(matrix)
    assert found.size == len(matrix) < 203  # fewer than the weights of the dense network
    for ours, theirs in ((found.largest(5), expected[::-1]), (found.smallest(3), expected)):
        values = [value for value, _ in ours]
        np.testing.assert_allclose(values, theirs[: len(values)], atol=1e-4)
        assert all(error < 1e-4 for _, error in ours)
    assert abs(found.trace.value - np.trace(matrix)) < 3 * found.trace.error
    assert found.trace.error < 0.2 * abs(np.trace(matrix))


def test_products_are_those_of_the_matrix(exact):
    model, matrix = exact
    dataset = tf.data.Dataset.from_tensor_slices(DATA).batch(16)
    for data in (DATA, dataset):
        hessian = kt.analysis.Hessian(model, data, LOSS)
        vector = np.random.default_rng(1).normal(size=hessian.size)
        np.testing.assert_allclose(hessian(vector), matrix @ vector, rtol=1e-4, atol=1e-5)


def test_products_follow_the_weights():
    model, _ = model_and_masks(0.0)
    hessian = kt.analysis.Hessian(model, DATA, LOSS)
    vector = np.ones(hessian.size)
    before = hessian(vector)
    for variable in model.trainable_variables:
        variable.assign(0.5 * variable)
    after = hessian(vector)
    np.testing.assert_allclose(after, numpy_hessian(model) @ vector, rtol=1e-4, atol=1e-5)
    assert abs(after - before).max() > 0.01


@pytest.mark.slow
def test_convolutions_and_batch_normalization_at_inference():
    inputs = keras.Input((6, 6, 2))
    x = keras.layers.Conv2D(3, 3, activation="softplus")(inputs)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.MaxPooling2D()(x)
    x = keras.layers.Dropout(0.5)(keras.layers.Flatten()(x))
    model = keras.Model(inputs, keras.layers.Dense(3)(x))
    model.get_layer("norm").moving_variance.assign([0.5, 2.0, 1.0])
    data = RNG.normal(size=(10, 6, 6, 2)).astype("float32"), np.arange(10) % 3
    hessian = kt.analysis.Hessian(model, data, LOSS)
    matrix = np.array([hessian(row) for row in np.eye(hessian.size)])
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-5)
    variables = model.trainable_variables

    def gradient():
        with tf.GradientTape() as tape:
            loss = LOSS(data[1], model(data[0], training=False))
        return np.concatenate(
            [g.numpy().reshape(-1) for g in tape.gradient(loss, [v.value for v in variables])]
        ).astype(float)

    moved = variables[0].numpy()
    columns = []
    for sign in (1, -1):
        changed = moved.copy()
        changed.reshape(-1)[4] += sign * 1e-2
        variables[0].assign(changed)
        columns.append(gradient())
    variables[0].assign(moved)
    expected = (columns[0] - columns[1]) / 2e-2
    np.testing.assert_allclose(matrix[4], expected, atol=2e-3 * abs(expected).max())


def test_wrong_arguments(exact):
    model, _ = exact
    for make, message in (
        (lambda: kt.analysis.curvature(model, DATA), "`loss` must be"),
        (lambda: kt.analysis.curvature(model, DATA, LOSS, draws=0), "`draws` must be"),
        (lambda: kt.analysis.Hessian(model, DATA, LOSS)(np.ones(3)), r"`vector`.*\(3,\)"),
        (lambda: kt.analysis.Hessian(model, [], LOSS)(np.ones(len(exact[1]))), "no examples"),
        (lambda: kt.analysis.Hessian(model, [(DATA[0],)], LOSS)(np.ones(len(exact[1]))), "targets"),
    ):
        with pytest.raises(ValueError, match=message):
            make()
    inputs = keras.Input((6,))
    two = keras.Model(inputs, [keras.layers.Dense(2)(inputs), keras.layers.Dense(3)(inputs)])
    hessian = kt.analysis.Hessian(two, DATA, LOSS)
    with pytest.raises(ValueError, match="must have one output"):
        hessian(np.ones(hessian.size))
    model.trainable = False
    try:
        with pytest.raises(ValueError, match="no trainable weights"):
            kt.analysis.Hessian(model, DATA, LOSS)
    finally:
        model.trainable = True
