"""Models that sparsify refuses, or warns of."""

import keras
import numpy as np
import pytest
from small_models import mlp

import keras_tickets as kt


def test_a_sparse_model_is_not_made_sparse_again():
    with pytest.raises(ValueError, match="sparse already.*kt.strip"):
        kt.sparsify(kt.sparsify(mlp(), 0.5), 0.5)


def test_warns_before_random_masks_wreck_trained_weights():
    dense = mlp()
    dense.get_layer("a").bias.assign(np.ones(20))
    with pytest.warns(UserWarning, match='mask="magnitude"'):
        kt.sparsify(dense, 0.5)


class NoConfig(keras.layers.Layer):
    def __init__(self, table):
        super().__init__()
        self.table = table

    def build(self, input_shape):
        self.w = self.add_weight(shape=(input_shape[-1], 2), name="w")

    def call(self, x):
        return x @ self.w


def uncopyable():
    return keras.Sequential([keras.Input((4,)), NoConfig(np.zeros(3))])


def test_a_model_that_cannot_be_copied():
    with pytest.raises(ValueError, match="get_config.*in_place=True"):
        kt.sparsify(uncopyable(), 0.5)
    model = kt.sparsify(uncopyable(), 0.5, in_place=True)
    assert model.sparsity == 0.5
    with pytest.raises(ValueError, match="in_place=True"):
        kt.strip(model)
    x = np.ones((2, 4), "float32")
    np.testing.assert_array_equal(kt.strip(model, in_place=True)(x), model(x))


@pytest.mark.parametrize("sparsity", [1.0, -0.1, float("nan"), "0.9", True])
def test_bad_sparsity(sparsity):
    with pytest.raises((ValueError, TypeError), match="sparsity"):
        kt.sparsify(mlp(), sparsity)


@pytest.mark.parametrize(
    "kwargs, message",
    [
        ({"distribution": "erdos"}, "erdos"),
        ({"mask": "best"}, "mask='best'"),
        ({"filters": "nothing"}, "nothing"),
        ({"structure": "2:4"}, "structure"),
        ({"seed": 1.5}, "seed=1.5"),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises((ValueError, TypeError), match=message):
        kt.sparsify(mlp(), 0.5, **kwargs)


def test_regex_that_matches_nothing():
    with pytest.raises(ValueError, match="zzz"):
        kt.sparsify(mlp(), {"zzz": 0.5})


def test_unbuilt_and_foreign_models():
    with pytest.raises(ValueError, match="built"):
        kt.sparsify(keras.Sequential([keras.layers.Dense(3)]), 0.5)
    with pytest.raises(TypeError, match="Keras 3"):
        kt.sparsify(object(), 0.5)
    tf_keras = pytest.importorskip("tf_keras")
    legacy = tf_keras.Sequential([tf_keras.Input((4,)), tf_keras.layers.Dense(2)])
    with pytest.raises(TypeError, match="Keras 3"):
        kt.sparsify(legacy, 0.5)


@keras.saving.register_keras_serializable("tests")
class Twice(keras.Sequential):
    def call(self, x, training=None, mask=None):
        return 2 * super().call(x)

    def train_step(self, data):
        raise AssertionError("not used by sparse models")

    predict_step = train_step


def test_an_own_call_is_kept_and_an_own_train_step_is_warned_of():
    dense = Twice([keras.Input((8,)), keras.layers.Dense(4, name="fc")])
    x = np.ones((2, 8), "float32")
    with pytest.warns(UserWarning, match="own train_step and predict_step"):
        model = kt.sparsify(dense, 0.5, mask="ones")
    np.testing.assert_allclose(model(x), dense(x))
    assert list(model.masks) == ["fc/kernel"]


class Holder(keras.layers.Layer):
    def __init__(self, inner, **kwargs):
        super().__init__(**kwargs)
        self.inner = inner

    def call(self, x):
        return self.inner(x)


def test_a_kernel_shared_by_two_layers_of_a_graph_is_refused():
    inputs, shared = keras.Input((4,)), keras.layers.Dense(4, name="d")
    x = Holder(shared, name="h2")(Holder(shared, name="h1")(inputs))
    with pytest.raises(ValueError, match="'h1' and 'h2' share kernel"):
        kt.sparsify(keras.Model(inputs, x), 0.5, in_place=True)


def test_sparse_layers_inside_others_cannot_be_stripped():
    inputs = keras.Input((3, 4))
    inner = kt.layers.Sparse(keras.layers.Dense(6), 0.5)
    model = kt.SparseModel(inputs, keras.layers.TimeDistributed(inner)(inputs))
    with pytest.raises(ValueError, match="inside other layers"):
        kt.strip(model)
