"""Kernels that are used otherwise than once by the layer of Keras that owns them."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_tickets as kt

layers, ops = keras.layers, keras.ops


def products(model, **arguments):
    return kt.flops(model, convention="products", **arguments).inference


def called(model, *shape):
    model(keras.Input(shape))
    return model


def chain(*parts, shape):
    inputs = keras.Input(shape)
    return keras.Model(inputs, keras.Sequential(parts)(inputs))


class Folded(layers.Layer):
    def call(self, x):
        return ops.reshape(x, (-1, x.shape[2]))


def test_positions_that_are_folded_into_the_batch():
    model = chain(Folded(), layers.Dense(4), shape=(3, 7))
    assert products(model) == 2 * 3 * 7 * 4
    assert kt.plan(model, 0.5).dense_flops == kt.flops(model).inference


class Compiled(keras.Model):
    def __init__(self):
        super().__init__()
        self.fc = layers.Dense(4)

    @tf.function
    def call(self, x):
        y = self.fc(x)
        return ops.matmul(y, ops.transpose(y, (0, 2, 1)))


def test_what_a_tf_function_computes():
    model = Compiled()
    model(np.zeros((1, 3, 7), "float32"))
    assert products(model) == products(model) == 2 * 3 * 7 * 4 + 2 * 3 * 3 * 4


class Table(layers.Layer):
    def build(self, shape):
        self.positions = self.add_weight(shape=shape[1:], name="positions")

    def call(self, x):
        return x + self.positions


def test_weights_that_are_only_added():
    model = chain(Table(), layers.Dense(4), shape=(3, 7))
    assert len(kt.flops(model).rows) == 1
    assert products(model) == 2 * 3 * 7 * 4


class Tied(keras.Model):
    def __init__(self):
        super().__init__()
        self.fc = layers.Dense(4)

    def call(self, x):
        return ops.matmul(self.fc(x), ops.transpose(self.fc.kernel))


def test_a_kernel_that_is_multiplied_outside_of_its_layer():
    assert products(called(Tied(), 7)) == 2 * 2 * 7 * 4


class Custom(layers.Layer):
    """Two kernels, one with its outputs first; their results are pooled."""

    def build(self, shape):
        self.embed = self.add_weight(shape=(11, shape[-1]), name="patch_embed")
        self.fixed = self.add_weight(shape=(11, 5), name="fixed", trainable=False)

    def call(self, x):
        return ops.mean(ops.matmul(ops.matmul(x, ops.transpose(self.embed)), self.fixed), 1)


def test_kernels_of_custom_layers_by_what_the_graph_does():
    model = chain(Custom(), shape=(3, 7))
    assert products(model) == 2 * 3 * 11 * 7 + 2 * 3 * 11 * 5


class Subclass(layers.Conv2D):
    def call(self, x):
        return 2 * super().call(x)


@pytest.mark.parametrize("groups", [1, 2])
def test_a_subclass_of_a_layer_of_keras(groups):
    model = chain(Subclass(6, 3, groups=groups, activation="relu"), shape=(8, 8, 4))
    weights = 9 * 4 // groups * 6
    assert products(model) == 2 * 36 * weights
    assert kt.flops(model).inference == 36 * (2 * weights - 6) + 2 * 36 * 6


def test_a_batch_axis_that_is_lost_on_the_way():
    inputs = keras.Input((1,), dtype="string")
    table = layers.TextVectorization(vocabulary=["a", "b"], output_mode="multi_hot")
    x = layers.Dense(4)(table(inputs))
    model = keras.Model(inputs, Plain(5)(x))
    size = table.vocabulary_size()
    assert kt.flops(model, convention="products").inference == 2 * (size * 4 + 4 * 5)


class Plain(layers.Layer):
    def __init__(self, units):
        super().__init__()
        self.units = units

    def build(self, shape):
        self.matrix = self.add_weight(shape=(shape[-1], self.units))

    def call(self, x):
        return ops.matmul(x, self.matrix)


class Summed(Plain):
    def call(self, x):
        return ops.sum(x[..., None] * self.matrix, axis=-2)


def test_an_elementwise_product_that_is_summed_is_one_of_matrices():
    counted = [kt.flops(chain(kind(5), shape=(3, 7))) for kind in (Plain, Summed)]
    assert counted[0].inference == counted[1].inference == 3 * 5 * (2 * 7 - 1)


class Cell(layers.Layer):
    """Calls one of its layers once and the other twice."""

    def __init__(self, units):
        super().__init__()
        self.state_size = self.output_size = units
        self.read, self.turn = layers.Dense(units), layers.Dense(units)

    def build(self, shape):
        self.read.build(shape)
        self.turn.build((None, self.state_size))

    def call(self, x, states, training=False):
        state = self.read(x) + self.turn(self.turn(states[0]))
        return state, [state]


@pytest.mark.parametrize("unroll", [True, False])
@pytest.mark.parametrize("return_sequences", [True, False])
def test_layers_that_a_cell_calls_several_times(unroll, return_sequences):
    recurrent = layers.RNN(Cell(5), unroll=unroll, return_sequences=return_sequences)
    counted = kt.flops(chain(recurrent, shape=(6, 3)), convention="products")
    assert [row.inference for row in counted.rows] == [2 * 6 * 15, 2 * 2 * 6 * 25]


class Fused(layers.Layer):
    """Three kernels in one product, and one kernel in two."""

    def build(self, shape):
        self.parts = [self.add_weight(shape=(shape[-1], n), name=f"part_{n}") for n in (2, 3, 4)]
        self.whole = self.add_weight(shape=(9, 6), name="whole")

    def call(self, x):
        x = ops.matmul(x, ops.concatenate(self.parts, 1))
        left, right = ops.split(self.whole, 2, 1)
        return ops.matmul(x, left) + ops.matmul(x, right)


def test_products_with_several_kernels_at_once_and_with_parts_of_one():
    model = chain(Fused(), shape=(5, 7))
    counted = kt.flops(model, convention="products")
    expected = [2 * 5 * 7 * n for n in (2, 3, 4)] + [2 * 5 * 9 * 6]
    assert [row.inference for row in counted.rows] == expected


@pytest.mark.parametrize("change", ["int8", "lora", "frozen"])
def test_kernels_that_are_not_trained_are_multiplied(change):
    layer = layers.Dense(4)
    model = chain(layer, layers.Dense(3), shape=(7,))
    if change == "int8":
        layer.quantize("int8")
    elif change == "lora":
        layer.enable_lora(2)
    else:
        layer.kernel.trainable = False
    assert products(model) == 2 * (7 * 4 + 4 * 3)


class Dynamic(layers.Layer):
    def call(self, inputs):
        image, kernel = inputs
        return ops.conv(image, kernel[0], padding="valid")


def test_convolutions_of_two_activations():
    inputs = keras.Input((8, 8, 2)), keras.Input((3, 3, 2, 4))
    counted = kt.flops(keras.Model(inputs, Dynamic()(inputs)), convention="products")
    assert counted.between_activations == counted.inference == 2 * 36 * 4 * 18


def test_named_arguments_in_any_order():
    sequences, states = keras.Input((6, 3)), [keras.Input((5,)), keras.Input((5,))]
    outputs = layers.LSTM(5)(sequences=sequences, initial_state=states)
    assert products(keras.Model([sequences, *states], outputs)) == 2 * 6 * 4 * (15 + 25)


def test_a_batch_of_one_size_only():
    inputs = keras.Input((6, 3), batch_size=4)
    model = keras.Model(inputs, layers.LSTM(5, stateful=True)(inputs))
    assert products(model) == 2 * 6 * 4 * (15 + 25)


class Mapped(keras.Model):
    def __init__(self, function):
        super().__init__()
        self.function, self.fc = function, layers.Dense(4)

    def call(self, x):
        return self.function(self.fc, ops.transpose(x, (1, 0, 2)))


def test_loops_are_said():
    assert products(called(Mapped(ops.vectorized_map), 3, 4)) == 2 * 3 * 16
    with pytest.warns(UserWarning, match="one pass is counted at most.*kernel"):
        assert products(called(Mapped(ops.map), 3, 4)) == 2 * 16


@pytest.mark.parametrize("layer", [layers.SeparableConv1D, layers.SeparableConv2D])
def test_separable_convolutions_finish_their_pointwise_outputs(layer):
    size = (8,) * layer(1, 1).rank
    places = 6 ** len(size)
    taps = 3 ** len(size)
    counted = kt.flops(chain(layer(7, 3, activation="relu"), shape=(*size, 2)))
    assert [row.inference for row in counted.rows] == [
        places * (2 * taps * 2 - 2),
        places * (2 * 2 * 7 - 7 + 2 * 7),
    ]


@pytest.mark.parametrize("reset_after", [True, False])
def test_a_gru_adds_a_bias_to_each_of_its_kernels_products(reset_after):
    counted = kt.flops(chain(layers.GRU(5, reset_after=reset_after), shape=(6, 3)))
    sums = 6 * 15
    assert [row.inference for row in counted.rows] == [
        2 * sums * 3 - sums + 2 * sums,
        2 * sums * 5 - sums + sums * reset_after,
    ]


@pytest.mark.skipif(not hasattr(layers, "ReversibleEmbedding"), reason="in later versions of Keras")
@pytest.mark.parametrize("tie_weights", [True, False])
def test_the_logits_of_a_reversible_embedding(tie_weights):
    table = layers.ReversibleEmbedding(50, 8, tie_weights=tie_weights)
    inputs = keras.Input((5,), dtype="int32")
    model = keras.Model(inputs, table(table(inputs), reverse=True))
    counted = kt.flops(model, convention="products")
    assert counted.inference == 2 * 5 * 8 * 50
    assert counted.between_activations == counted.inference * tie_weights


def test_a_masked_table_is_looked_up_all_the_same():
    inputs = keras.Input((5,), dtype="int32")
    model = keras.Model(inputs, layers.Dense(3)(layers.Embedding(20, 8)(inputs)))
    planned = kt.plan(model, 0.5, filters=".*", distribution="uniform")
    sparse = kt.sparsify(model, 0.5, filters=".*", distribution="uniform")
    for table in (planned, kt.summary(sparse)):
        assert [row.flops for row in table.rows] == [0, table.flops]
    assert kt.flops(sparse).inference == planned.flops
