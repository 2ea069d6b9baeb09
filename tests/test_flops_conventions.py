"""What each convention counts, against published numbers and the profiler of TensorFlow."""

import json
import pathlib

import keras
import numpy as np
import profiled_flops
import pytest
from slow_cases import slow_unless

import keras_tickets as kt

layers = keras.layers
VECTORS = json.loads((pathlib.Path(__file__).parent / "data/erk_vectors.json").read_text())


def build(layer, *shape):
    inputs = keras.Input(shape)
    return keras.Model(inputs, layer(inputs))


def attention():
    """Queries of other inputs than keys, so that no two sizes are alike."""
    queries, values = keras.Input((5, 6)), keras.Input((7, 6))
    return keras.Model([queries, values], layers.MultiHeadAttention(2, 3, 4)(queries, values))


def grouped_attention():
    inputs = keras.Input((5, 6))
    return keras.Model(inputs, layers.GroupQueryAttention(3, 4, 2)(inputs, inputs))


def siamese():
    first, second = keras.Input((5, 6)), keras.Input((7, 6))
    return keras.Model([first, second], layers.Dot(axes=2)([first, second]))


ONE_LAYER = {
    "dense": lambda: build(layers.Dense(4), 7),
    "dense at positions": lambda: build(layers.Dense(4, activation="relu"), 3, 7),
    "convolution": lambda: build(layers.Conv2D(6, 3, 2, "same"), 9, 9, 4),
    "groups": lambda: build(layers.Conv2D(6, 3, groups=2), 8, 8, 4),
    "depthwise": lambda: build(layers.DepthwiseConv2D(3, depth_multiplier=2), 8, 8, 3),
    "separable": lambda: build(layers.SeparableConv2D(4, 3), 8, 8, 2),
    "transposed": lambda: build(layers.Conv2DTranspose(5, 3, 2, "same"), 4, 4, 2),
    "attention": attention,
    "grouped attention": grouped_attention,
    "two inputs": siamese,
}


@pytest.mark.parametrize(
    "name", slow_unless(lambda name: name not in ("dense", "separable"), ONE_LAYER)
)
def test_products_are_those_of_the_profiler(name):
    model = ONE_LAYER[name]()
    found = profiled_flops.profiled(model)
    theirs = sum(found.get(kind, 0) for kind in profiled_flops.PRODUCTS)
    assert kt.flops(model, convention="products").inference == theirs > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", profiled_flops.NETWORKS)
def test_whole_networks_against_the_profiler(name):
    model = profiled_flops.NETWORKS[name]()
    found = profiled_flops.profiled(model)
    theirs = sum(found.get(kind, 0) for kind in profiled_flops.PRODUCTS)
    assert kt.flops(model, convention="products").inference == theirs
    # Depthwise kernels of 3x3 take 17 operations an output instead of 18.
    assert kt.flops(model).inference == pytest.approx(theirs, rel=0.012)


def test_attention_by_hand():
    """5 queries, 7 keys; 2 heads with keys of 3 and values of 4."""
    counted = kt.flops(attention())
    scores, mixed = 2 * 5 * 7 * 3, 2 * 5 * 7 * 4
    assert counted.between_activations == 2 * (scores + mixed) - 2 * 5 * 7 - 2 * 5 * 4
    kernels = sum(row.inference for row in counted.rows)
    assert counted.inference == kernels + counted.between_activations
    assert counted.training == 3 * counted.inference
    assert "between activations" in str(counted)
    sparse = kt.flops(kt.sparsify(attention(), 0.5))
    assert sparse.between_activations == counted.between_activations
    published = kt.flops(attention(), convention="rigl")
    assert published.between_activations == 0
    assert published.inference == sum(row.inference for row in published.rows)
    assert '"rigl"' in str(published)


class Tied(keras.Model):
    """Logits by the table that the tokens are looked up in."""

    def __init__(self):
        super().__init__()
        self.table = layers.Embedding(11, 4)
        self.hidden = layers.Dense(4, use_bias=False, name="hidden")

    def call(self, tokens):
        x = self.hidden(self.table(tokens))
        return keras.ops.einsum(
            "btd,vd->btv", x, keras.ops.convert_to_tensor(self.table.embeddings)
        )


def test_looking_up_is_free_and_multiplying_by_the_table_is_not():
    model = Tied()
    model(keras.Input((3,), dtype="int32"))
    counted = kt.flops(model, convention="products")
    assert [row.path for row in counted.rows] == ["hidden/kernel"]
    assert counted.between_activations == 2 * 3 * 4 * 11
    assert counted.inference == 2 * 3 * 4 * 4 + 2 * 3 * 4 * 11


class Mixed(keras.Model):
    """An einsum with axes that its equation does not name, beside ones that both factors have."""

    def call(self, x):
        return keras.ops.einsum("...ij,...kj->...ik", x, 2 * x)


def test_einsum_with_further_axes():
    model = Mixed()
    model(keras.Input((2, 5, 3)))
    assert kt.flops(model, convention="products").inference == 2 * (2 * 5 * 5 * 3)


class Gram(keras.Model):
    def call(self, x):
        return keras.ops.matmul(x, keras.ops.transpose(x, (0, 2, 1)))


def test_an_open_size_is_said():
    model = Gram()
    model(keras.Input((None, 3)))
    with pytest.warns(UserWarning, match="1 product of two activations.*input_shape"):
        assert kt.flops(model).inference == 0
    assert kt.flops(model, input_shape=(5, 3)).inference == 2 * 5 * 5 * 3 - 25
    assert kt.flops(model, convention="rigl").inference == 0


LENET = [v for v in VECTORS if v["arch"] == "lenet_300_100" and v["distribution"] == "erk"]


@pytest.mark.parametrize(
    "vector",
    slow_unless(lambda v: v["target_sparsity"] == 0.9, LENET),
    ids=lambda v: str(v["target_sparsity"]),
)
def test_the_published_count_of_a_model(vector):
    """Published counts multiply by shares of weights, ours by whole weights."""
    model = kt.sparsify(kt.models.lenet_300_100(), vector["target_sparsity"])
    counted = kt.flops(model, convention="rigl")
    assert sum(row.dense_inference for row in counted.rows) == vector["dense_inference_flops"]
    assert counted.inference == pytest.approx(vector["inference_flops"], abs=2 * len(counted.rows))
    assert counted.inference_ratio == pytest.approx(vector["inference_flops_ratio"], abs=1e-5)
    rigl = kt.flops(model, convention="rigl", update_every=100).training_ratio
    assert rigl == pytest.approx(vector["rigl_train_flops_ratio_dT100"], abs=1e-5)


def test_an_unknown_convention():
    with pytest.raises(ValueError, match="convention.*'macs'"):
        kt.flops(build(layers.Dense(4), 7), convention="macs")


def test_conventions_differ_by_what_they_say():
    model = build(layers.Dense(4, use_bias=False), 7)
    counts = {name: kt.flops(model, convention=name).inference for name in ("layers", "rigl")}
    products, outputs = 28, 4
    assert counts == {
        "layers": 2 * products - outputs,
        "rigl": 2 * products - outputs + 2 * outputs,
    }
    assert kt.flops(model, convention="products").inference == 2 * products
    assert np.isclose(kt.flops(model, convention="products").inference_ratio, 1)
