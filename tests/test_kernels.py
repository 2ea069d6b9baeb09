import keras
import numpy as np
import pytest

from keras_tickets._kernels.find import find_kernels, multiplied_kernels

layers = keras.layers


def build(layer, *shape):
    """The layer in a model of its own."""
    inputs = keras.Input(shape)
    return keras.Model(inputs, layer(inputs))


def only(layer, *shape):
    kernels, skipped = find_kernels(build(layer, *shape))
    assert not skipped
    (kernel,) = kernels
    return kernel


@pytest.mark.parametrize(
    ("layer", "shape", "inputs", "outputs", "spatial", "input_axes", "output_axes"),
    [
        (layers.Dense(4), (7,), 7, 4, (), (0,), (1,)),
        (layers.Conv1D(5, 3), (8, 2), 2, 5, (3,), (1,), (2,)),
        (layers.Conv2D(6, (3, 2), groups=2), (8, 8, 4), 2, 6, (3, 2), (2,), (3,)),
        (layers.Conv3D(2, 2), (4, 4, 4, 3), 3, 2, (2, 2, 2), (3,), (4,)),
        (layers.Conv1DTranspose(5, 3), (8, 2), 2, 5, (3,), (2,), (1,)),
        (layers.Conv2DTranspose(5, 3), (8, 8, 2), 2, 5, (3, 3), (3,), (2,)),
        (layers.EinsumDense("abc,cde->abde", (None, 4, 5)), (6, 3), 3, 20, (), (0,), (1, 2)),
        (layers.EinsumDense("...xy,xyz->...z", (4,)), (6, 2, 3), 6, 4, (), (0, 1), (2,)),
        (layers.TimeDistributed(layers.Dense(4)), (3, 7), 7, 4, (), (0,), (1,)),
    ],
)
def test_axes(layer, shape, inputs, outputs, spatial, input_axes, output_axes):
    kernel = only(layer, *shape)
    assert (kernel.inputs, kernel.outputs, kernel.spatial) == (inputs, outputs, spatial)
    assert (kernel.input_axes, kernel.output_axes, kernel.gates) == (input_axes, output_axes, 1)
    assert kernel.size == np.prod(kernel.shape) == inputs * outputs * np.prod(spatial, dtype=int)


def test_an_einsum_axis_that_is_neither_summed_nor_added_stacks_kernels():
    kernel = only(layers.EinsumDense("abc,bcd->abd", (6, 4)), 6, 3)
    assert (kernel.inputs, kernel.outputs, kernel.spatial, kernel.gates) == (3, 4, (), 6)


@pytest.mark.parametrize(
    ("layer", "gates"), [(layers.SimpleRNN, 1), (layers.GRU, 3), (layers.LSTM, 4)]
)
def test_recurrent_layers_have_two_kernels_and_gates(layer, gates):
    kernels, _ = find_kernels(build(layer(5, name="rnn"), 6, 7))
    cell = f"rnn/{kernels[0].layer.name}"
    assert [k.path for k in kernels] == [f"{cell}/kernel", f"{cell}/recurrent_kernel"]
    assert [(k.inputs, k.outputs, k.gates) for k in kernels] == [(7, 5, gates), (5, 5, gates)]


def test_bidirectional_and_convolutional_lstm():
    kernels, _ = find_kernels(build(layers.Bidirectional(layers.LSTM(5), name="bi"), 6, 7))
    assert [k.path for k in kernels] == [
        f"bi/{way}_lstm/lstm_cell/{name}"
        for way in ("forward", "backward")
        for name in ("kernel", "recurrent_kernel")
    ]
    kernels, _ = find_kernels(build(layers.ConvLSTM2D(5, 3, name="c"), 4, 8, 8, 2))
    assert [(k.inputs, k.outputs, k.spatial, k.gates) for k in kernels] == [
        (2, 5, (3, 3), 4),
        (5, 5, (3, 3), 4),
    ]


def test_attention():
    inputs = keras.Input((6, 8))
    layer = layers.MultiHeadAttention(2, 3, name="mha")
    grouped = layers.GroupQueryAttention(3, 4, 2, name="gqa")
    model = keras.Model(inputs, grouped(layer(inputs, inputs), inputs))
    kernels, _ = find_kernels(model)
    names = ("query", "key", "value", "attention_output")
    assert [k.path for k in kernels] == [f"{a}/{n}/kernel" for a in ("mha", "gqa") for n in names]
    assert [(k.inputs, k.outputs) for k in kernels[:4]] == [(8, 6), (8, 6), (8, 6), (6, 8)]
    assert [(k.inputs, k.outputs) for k in kernels[4:]] == [(8, 12), (8, 6), (8, 6), (12, 8)]


@pytest.mark.parametrize(
    ("layer", "shape", "path", "reason"),
    [
        (layers.DepthwiseConv2D(3, name="a"), (8, 8, 2), "a/kernel", "depthwise"),
        (layers.SeparableConv1D(4, 3, name="a"), (8, 2), "a/depthwise_kernel", "depthwise"),
        (layers.Embedding(9, 4, name="a"), (5,), "a/embeddings", "embedding"),
    ],
)
def test_depthwise_kernels_and_embeddings_are_taken_only_where_selected(layer, shape, path, reason):
    model = build(layer, *shape)
    kernels, skipped = find_kernels(model)
    assert path not in [k.path for k in kernels]
    assert [(s.path, s.reason.split()[0].strip(":")) for s in skipped] == [(path, reason)]
    for filters in (path, [path], lambda p: p == path):
        assert [k.path for k in find_kernels(model, filters)[0]] == [path]


class Scaled(layers.Layer):
    """A custom layer with a kernel, a matrix of scales, a bias matrix and a frozen matrix."""

    def build(self, input_shape):
        self.w = self.add_weight(shape=(3, input_shape[-1], 4), name="filters")
        self.scale = self.add_weight(shape=(2, 4), name="scale")
        self.bias = self.add_weight(shape=(2, 4), name="bias")
        self.fixed = self.add_weight(shape=(2, 4), name="fixed", trainable=False)

    def call(self, x):
        return keras.ops.matmul(x, self.w[0])


def test_custom_layers_are_read_like_convolutions():
    kernels, skipped = find_kernels(build(Scaled(name="s"), 5))
    assert [(k.path, k.inputs, k.outputs, k.spatial) for k in kernels] == [
        ("s/filters", 5, 4, (3,))
    ]
    assert [s.path for s in skipped] == ["s/scale"]


def test_what_is_skipped_has_a_reason():
    inputs = keras.Input((8,))
    x = layers.Dense(8, name="frozen", trainable=False)(inputs)
    x = layers.BatchNormalization(name="bn")(x)
    quantized, low_rank = layers.Dense(8, name="int8"), layers.Dense(8, name="lora")
    model = keras.Model(inputs, low_rank(quantized(layers.Dropout(0.1)(x))))
    quantized.quantize("int8")
    low_rank.enable_lora(2)
    kernels, skipped = find_kernels(model)
    reasons = {s.path: s.reason for s in skipped}
    assert not kernels
    assert "trainable=False" in reasons["frozen/kernel"]
    assert "int8" in reasons["int8/kernel"]
    assert "LoRA" in reasons["lora/kernel"]
    assert "vectors" in reasons["bn"]
    assert [k.path for k in multiplied_kernels(model)] == ["frozen/kernel"]


class Block(layers.Layer):
    """Lists, a dict, equal names and automatic names."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.chain = [layers.Dense(4, name="fc"), layers.Dense(4, name="fc")]
        self.branches = {"a": layers.Dense(4), "b": layers.Dense(4), "c": layers.Dense(4)}

    def build(self, input_shape):
        for layer in (*self.chain, *self.branches.values()):
            layer.build((None, 4))

    def call(self, x):
        for layer in (*self.chain, *self.branches.values()):
            x = layer(x)
        return x


def nested():
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(4, name="fc")], name="inner")
    inputs = keras.Input((4,))
    shared = layers.Dense(4, name="shared")
    x = shared(shared(inner(inputs)))
    return keras.Model(inputs, Block(name="block")(x))


PATHS = [
    "inner/fc/kernel",
    "shared/kernel",
    "block/fc/kernel",
    "block/fc/kernel_1",
    "block/dense/kernel",
    "block/dense_1/kernel",
    "block/dense_2/kernel",
]


def test_paths_of_nested_shared_and_repeated_layers_do_not_depend_on_automatic_names():
    for _ in range(2):
        assert [k.path for k in find_kernels(nested())[0]] == PATHS


def test_a_path_does_not_depend_on_filters():
    (kernel,), skipped = find_kernels(nested(), "block/fc/kernel_1$")
    assert kernel.path == "block/fc/kernel_1"
    assert {s.path for s in skipped if "filters" in s.reason} == {*PATHS} - {kernel.path}


class Hidden(layers.Wrapper):
    """Like our wrapper: no name of its own, a boolean mask beside the kernel."""

    hidden_in_paths = True

    def build(self, input_shape):
        super().build(input_shape)
        kernel = self.layer.kernel
        self.add_weight(shape=kernel.shape, dtype="bool", initializer="ones", trainable=False)

    def call(self, x):
        return self.layer(x)


class HiddenRoot(Hidden):
    hides_child_in_paths = True

    def build(self, input_shape):
        self.layer.build(input_shape)
        self.built = True


def test_wrappers_add_no_name():
    model = build(Hidden(layers.Dense(4, name="fc"), name="wrapped"), 4)
    assert [k.path for k in find_kernels(model)[0]] == ["fc/kernel"]
    assert not find_kernels(model)[1]
    model = build(HiddenRoot(Block()), 4)
    assert [k.path for k in find_kernels(model)[0]] == [
        path.removeprefix("block/") for path in PATHS[2:]
    ]


def test_a_variable_without_a_name():
    class Unnamed(layers.Layer):
        def build(self, input_shape):
            self.a = self.add_weight(shape=(4, 4))
            self.b = self.add_weight(shape=(4, 4))

        def call(self, x):
            return x @ self.a @ self.b

    for _ in range(2):
        model = build(Unnamed(name="u"), 4)
        assert [k.path for k in find_kernels(model)[0]] == ["u/variable", "u/variable_1"]


def test_paths_of_a_layer_start_at_the_layer():
    layer = layers.Dense(3)
    layer.build((None, 2))
    assert [k.path for k in find_kernels(layer)[0]] == ["kernel"]


def test_first_convolutions_of_a_graph():
    inputs = keras.Input((None, None, 3))
    scaled = layers.BatchNormalization()(layers.Rescaling(1 / 255)(inputs) - 0.5)
    left = layers.Conv2D(4, 3, padding="same", name="left")(scaled)
    right = layers.Conv2D(4, 1, name="right")(scaled)
    x = layers.Conv2D(4, 3, name="second")(left + right)
    x = layers.Conv2D(4, 3, padding="same", name="mixed")(
        layers.Concatenate()([scaled, layers.Resizing(8, 8)(x)[:, :1, :1] + 0 * scaled[..., :1]])
    )
    model = keras.Model(inputs, x)
    assert {k.path: k.first_conv for k in find_kernels(model)[0]} == {
        "left/kernel": True,
        "right/kernel": True,
        "second/kernel": False,
        "mixed/kernel": False,
    }


def test_first_convolution_of_nested_sequential_and_subclassed_models():
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.head = layers.Conv2D(2, 3, name="last")
            self.stem = keras.Sequential(
                [layers.ZeroPadding2D(), layers.Conv2D(4, 3, name="first")], name="stem"
            )

        def call(self, x):
            return self.head(self.stem(x / 255.0))

    model = Net()
    model(np.zeros((2, 8, 8, 1)))
    assert {k.path: k.first_conv for k in find_kernels(model)[0]} == {
        "last/kernel": False,
        "stem/first/kernel": True,
    }


def test_dense_and_embedded_inputs_have_no_first_convolution():
    model = keras.Sequential([keras.Input((6,)), layers.Embedding(9, 4), layers.Conv1D(4, 3)])
    assert [k.first_conv for k in find_kernels(model)[0]] == [False]
    model = keras.Sequential([keras.Input((6, 2)), layers.Dense(4), layers.Conv1D(4, 3)])
    assert [k.first_conv for k in find_kernels(model)[0]] == [False, False]


def test_tracing_leaves_the_layers_as_they_were():
    model = build(layers.Conv1D(2, 3), 8, 2)
    before = dict(vars(model.layers[1]))
    find_kernels(model)
    assert vars(model.layers[1]) == before


@pytest.mark.parametrize(
    ("filters", "error", "message"),
    [
        ("decoder", ValueError, r"filters.*'decoder'.*match no kernel.*inner/fc/kernel"),
        (["inner", "x$"], ValueError, r"'x\$'"),
        ("(", ValueError, r"filters.*valid regex.*filters='\('"),
        (3, TypeError, "filters=3"),
        ([], TypeError, r"filters=\[\]"),
        ([3], TypeError, r"filters=\[3\]"),
    ],
)
def test_bad_filters(filters, error, message):
    with pytest.raises(error, match=message):
        find_kernels(nested(), filters)
