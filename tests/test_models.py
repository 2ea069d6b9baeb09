import keras
import numpy as np
import pytest

import keras_tickets as kt
from keras_tickets import models


def kernel_count(model):
    return sum(int(np.prod(w.shape)) for w in model.weights if w.name == "kernel")


@pytest.mark.parametrize(
    "build, kernels",
    [
        (models.lenet_300_100, 784 * 300 + 300 * 100 + 100 * 10),
        (models.conv2, 38_592 + 64 * 16 * 16 * 256 + 256 * 256 + 2560),
        (models.conv4, 259_776 + 128 * 8 * 8 * 256 + 256 * 256 + 2560),
        (models.conv6, 1_144_512 + 256 * 4 * 4 * 256 + 256 * 256 + 2560),
        (models.resnet20, 270_896),
    ],
)
def test_published_weight_counts_and_unique_names(build, kernels):
    model = build()
    assert kernel_count(model) == kernels
    assert model.output_shape == (None, 10)
    assert model.layers[-1].activation is keras.activations.linear
    names = [layer.name for layer in model.layers]
    assert len(set(names)) == len(names)
    assert names == [layer.name for layer in build().layers]


@pytest.mark.parametrize(
    "build", [models.lenet_300_100, models.conv2, models.conv4, models.conv6, models.resnet20]
)
def test_weights_are_a_function_of_the_seed(build):
    def weights(seed):
        return build((8, 8, 1), 3, seed=seed).get_weights()

    keras.utils.set_random_seed(1)
    first = weights(5)
    keras.utils.set_random_seed(2)
    again, other = weights(5), weights(6)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(first, other, strict=True))
    assert build((8, 8, 1), 3).predict(np.zeros((2, 8, 8, 1)), verbose=0).shape == (2, 3)


def test_layers_of_one_shape_start_differently():
    weights = {w.path: w for w in models.resnet20(seed=0).weights}
    a = weights["stage1_block1_conv1/kernel"].numpy()
    b = weights["stage1_block1_conv2/kernel"].numpy()
    assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.1
    assert a.std() == pytest.approx(np.sqrt(2 / (9 * 16)), rel=0.05)


def test_resnet20_with_and_without_fused_batch_norm_agree():
    x = np.random.default_rng(0).normal(size=(4, 16, 16, 3)).astype("float32")
    fused = models.resnet20((16, 16, 3), seed=0, width=0.25)
    plain = models.resnet20((16, 16, 3), seed=0, width=0.25, fused_batch_norm=False)
    np.testing.assert_allclose(fused(x, training=True), plain(x, training=True), atol=2e-4)
    for a, b in zip(fused.weights, plain.weights, strict=True):
        assert a.path == b.path
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-5)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: models.conv6((4, 4, 3)), r"sides of at least 8, got \(4, 4, 3\)"),
        (lambda: models.conv2((8, 8)), "input_shape"),
        (lambda: models.resnet20((8, 8)), "input_shape"),
        (lambda: models.resnet20(width=0), "`width` must be a positive number, got 0"),
        (lambda: models.lenet_300_100(seed=-1), "`seed` must be"),
        (lambda: models.lenet_300_100(seed=1.5), "`seed` must be"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def weights(model):
    return sum(row.size for row in kt.plan(model, 0.0).rows)


@pytest.mark.parametrize("name", ["lenet_300_100", "conv2", "resnet20"])
def test_baselines_of_equal_cost(name):
    make, shape = getattr(models, name), (16, 16, 3)
    full = weights(make(shape))
    small = models.small_dense(make, 0.9, input_shape=shape, classes=10, seed=1)
    big = models.big_sparse(make, 0.75, input_shape=shape, classes=10, seed=1)
    assert 0.08 * full < weights(small) <= 0.1 * full
    assert 0.97 * full < weights(big) / 4 <= full
    assert weights(models.small_dense(make, 0.0, input_shape=shape)) == full


def test_a_budget_that_no_width_meets_is_refused():
    with pytest.raises(ValueError, match="narrowest network has"):
        models.small_dense(models.lenet_300_100, 0.999, input_shape=(8, 8, 1))
