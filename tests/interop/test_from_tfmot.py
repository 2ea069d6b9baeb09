"""Models of Keras 2, pruned with tensorflow-model-optimization, against what they become."""

import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_tickets as kt

k2 = pytest.importorskip("tf_keras")
layers = k2.layers
RANDOM = np.random.default_rng(0)

PRUNED = """
import sys
import keras
import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras as k2

import keras_tickets as kt

sparsity, layers = tfmot.sparsity.keras, k2.layers
random = np.random.default_rng(0)


def prune(model):
    return sparsity.prune_low_magnitude(model, sparsity.PolynomialDecay(0.2, 0.6, 0, 3, 3, 1))


def wrappers(model, path=""):
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from wrappers(layer, f"{path}{layer.name}/")
        elif type(layer).__name__ == "PruneLowMagnitude":
            yield path + layer.layer.name, layer


def outputs_of(model, inputs):
    return [np.asarray(y) for y in tf.nest.flatten(model.predict(inputs, verbose=0))]


def check(pruned, path=None):
    \"\"\"Trains a model, then compares it, its converted form and that of its stripped form.\"\"\"
    inputs = [
        random.integers(0, 5, (4, *t.shape[1:]))
        if t.dtype.is_integer
        else random.normal(size=(4, *t.shape[1:])).astype("float32")
        for t in pruned.inputs
    ]
    inputs = inputs if len(inputs) > 1 else inputs[0]
    pruned.compile("sgd", "mse", run_eagerly=True)
    targets = [random.normal(size=y.shape) for y in outputs_of(pruned, inputs)]
    pruned.fit(inputs, targets, epochs=3, verbose=0, callbacks=[sparsity.UpdatePruningStep()])
    pruned.train_on_batch(inputs, targets)  # leaves weights off the masks
    expected = outputs_of(pruned, inputs)
    source = pruned
    if path is not None:
        pruned.save(path)
        source = path
    model = kt.interop.from_tfmot(source)
    assert isinstance(model, kt.SparseModel)
    masks = kt.get_masks(model)
    count = 0
    for name, wrapper in wrappers(pruned):
        own = [mask for path, mask in masks.items() if path.startswith(name + "/")]
        assert len(own) == len(wrapper.pruning_vars), name
        for mask, (_, theirs, _) in zip(own, wrapper.pruning_vars):
            np.testing.assert_array_equal(mask, theirs.numpy() > 0.5, err_msg=name)
            assert not mask.all(), name
            count += 1
    assert count == len(masks) and count > 0
    stripped = kt.interop.from_tfmot(sparsity.strip_pruning(pruned))
    for path, mask in kt.get_masks(stripped).items():
        np.testing.assert_array_equal(mask, masks[path])
    for converted in (model, stripped, kt.strip(model)):
        for ours, theirs in zip(outputs_of(converted, inputs), expected):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5 * np.abs(theirs).max())
    return model
"""

SEQUENTIAL = """
check(prune(k2.Sequential([
    layers.Dense(8, "relu", input_shape=(4,)), layers.BatchNormalization(), layers.Dropout(0.1),
    layers.Dense(3),
])), sys.argv[1] + "/model.h5")
"""

CONVOLUTIONAL = """
i = k2.Input((12, 12, 3))
x = layers.Conv2D(8, 3, padding="same", use_bias=False)(i)
x = layers.BatchNormalization()(x)
x = layers.ReLU(6.0)(x)
y = layers.DepthwiseConv2D(3, padding="same")(x)
y = layers.SeparableConv2D(8, 3, padding="same", activation="swish")(y)
x = layers.Add()([x, y])
x = layers.MaxPooling2D()(layers.ZeroPadding2D()(x))
x = layers.Conv2DTranspose(4, 3)(x)
x = layers.Concatenate()([x, layers.LeakyReLU(0.2)(x)])
x = layers.LayerNormalization()(layers.SpatialDropout2D(0.1)(x))
x = layers.AveragePooling2D()(layers.UpSampling2D(interpolation="bilinear")(x))
x = layers.Dense(5, "softmax")(layers.Flatten()(x))
check(prune(k2.Model(i, x)), sys.argv[1] + "/model.keras")
"""

TEXT = """
i = k2.Input((6,), dtype="int32")
x = layers.Embedding(10, 8, input_length=6)(i)
x = layers.LayerNormalization()(layers.MultiHeadAttention(2, 4)(x, x))
x = layers.GRU(4, return_sequences=True)(layers.LSTM(5, return_sequences=True)(x))
check(prune(k2.Model(i, layers.Dense(3, "gelu")(layers.SimpleRNN(4)(x)))))
"""

NESTED = """
encoder = k2.Sequential(
    [layers.Dense(6, "relu", input_shape=(4,), name="fc"), layers.BatchNormalization()],
    name="encoder",
)
i = k2.Input((4,))
inner = k2.Model(i, layers.Dense(4, "tanh", name="fc")(i), name="inner")
i, j = k2.Input((4,)), k2.Input((4,))
x = layers.Add()([encoder(i, training=False), encoder(j)])
x = layers.Subtract()([x, layers.Dense(6)(inner(inner(i)))])
model = check(prune(k2.Model([i, j], [x, layers.Dense(2, name="out")(x)])))
assert {"encoder/fc/kernel", "inner/fc/kernel", "out/kernel"} < set(kt.get_masks(model))
x = [np.ones((2, 4), "float32")] * 2
model.save(sys.argv[1] + "/model.keras")
again = keras.models.load_model(sys.argv[1] + "/model.keras")
np.testing.assert_array_equal(model(x)[1], again(x)[1])
before = kt.get_masks(model)
model.compile(kt.optimizers.Static(keras.optimizers.SGD(0.1)), "mse")
model.fit(x, [np.ones((2, 6)), np.ones((2, 2))], verbose=0)
for path, mask in kt.get_masks(model).items():
    np.testing.assert_array_equal(mask, before[path])
"""


MOBILENET = """
check(prune(k2.applications.MobileNetV2((96, 96, 3), alpha=0.35, weights=None, classes=10)))
"""


@pytest.mark.parametrize(
    "script",
    [
        SEQUENTIAL + CONVOLUTIONAL,
        pytest.param(TEXT + NESTED, marks=pytest.mark.slow),
        pytest.param(MOBILENET, marks=pytest.mark.slow),
    ],
    ids=["vision", "text", "mobilenet"],
)
def test_pruned_models_keep_function_and_masks(script, tmp_path, monkeypatch):
    pytest.importorskip("tensorflow_model_optimization")
    monkeypatch.setattr(sys, "argv", ["script", str(tmp_path)])
    exec(compile(PRUNED + script, "script", "exec"), {})


def compare(legacy, **options):
    shape = (3, *legacy.inputs[0].shape[1:])
    inputs = RANDOM.normal(size=shape).astype("float32")
    model = kt.interop.from_tfmot(legacy, **options)
    expected = legacy.predict(inputs, verbose=0)
    np.testing.assert_allclose(
        model.predict(inputs, verbose=0), expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max()
    )
    return model


def adapted():
    layer = layers.Normalization()
    layer.adapt(RANDOM.normal(3, 2, (50, 8, 8, 3)).astype("float32"))
    return layer


FAMILIES = {
    "normalizations": lambda: [
        adapted(),
        layers.Rescaling(0.5, offset=0.5),
        layers.GroupNormalization(3),
        layers.UnitNormalization(),
        layers.BatchNormalization(axis=1),
    ],
    "activations": lambda: [
        layers.PReLU(shared_axes=[1, 2], alpha_initializer="uniform"),
        layers.ELU(),
        layers.ReLU(1.0, 0.1, 0.2),
        layers.LeakyReLU(0.1),
        layers.Activation("tanh"),
        layers.Softmax(axis=[1, 2]),
    ],
    "shapes": lambda: [
        layers.Cropping2D(1),
        layers.Permute((2, 1, 3)),
        layers.Reshape((36, 3)),
        layers.Conv1D(4, 2, padding="causal", dilation_rate=2),
        layers.SeparableConv1D(6, 3),
        layers.Conv1DTranspose(2, 3, strides=2),
        layers.UpSampling1D(),
        layers.ZeroPadding1D(),
        layers.MaxPooling1D(),
        layers.GlobalAveragePooling1D(),
        layers.RepeatVector(2),
    ],
    "grouped": lambda: [
        layers.Conv2D(6, 3, groups=3, strides=2),
        layers.DepthwiseConv2D(2, depth_multiplier=2),
        layers.GlobalMaxPooling2D(keepdims=True),
    ],
    "recurrent": lambda: [
        layers.Reshape((16, 12)),
        layers.Bidirectional(layers.LSTM(3, return_sequences=True), merge_mode="sum"),
        layers.TimeDistributed(layers.Dense(5, "relu")),
        layers.RNN(
            layers.StackedRNNCells([layers.LSTMCell(3), layers.GRUCell(2)]), return_sequences=True
        ),
        layers.GRU(4, reset_after=False, go_backwards=True),
        layers.GaussianNoise(0.1),
        layers.AlphaDropout(0.1),
        layers.ActivityRegularization(0.1),
    ],
    "einsum": lambda: [
        layers.Reshape((16, 12)),
        layers.EinsumDense("abc,cd->abd", (16, 5), bias_axes="d"),
        layers.Masking(),
        layers.GlobalMaxPooling1D(),
    ],
}


@pytest.mark.parametrize("family", FAMILIES)
def test_layers_of_dense_models(family):
    model = compare(k2.Sequential([k2.Input((8, 8, 3)), *FAMILIES[family]()]))
    assert model.masks == {}


@pytest.mark.parametrize("cell", ["LSTM", pytest.param("GRU", marks=pytest.mark.slow)])
def test_states_that_a_recurrent_layer_is_given(cell):
    inputs = k2.Input((5, 4))
    layer = getattr(layers, cell)(3, return_state=True)
    _, *states = layer(inputs)
    both = getattr(layers, cell)(3, return_sequences=True)(inputs, initial_state=states)
    assert compare(k2.Model(inputs, both)).masks == {}


def test_operations_on_tensors():
    inputs = k2.Input((4,))
    hidden = layers.Dense(4)(inputs)
    outputs = tf.nn.relu(hidden + inputs) * 2.0 - tf.nn.softmax(hidden, axis=-1) / 3.0
    model = compare(k2.Model(inputs, outputs))
    assert model.masks == {}


def test_zeros_of_stripped_models_are_their_masks():
    legacy = k2.Sequential([layers.Dense(8, input_shape=(4,), name="fc"), layers.Dense(2)])
    kernel = RANDOM.normal(size=(4, 8)).astype("float32")
    kernel[RANDOM.random((4, 8)) < 0.5] = 0
    legacy.layers[0].set_weights([kernel, np.ones(8)])
    model = compare(legacy)
    assert list(model.masks) == ["fc/kernel"]
    np.testing.assert_array_equal(model.masks["fc/kernel"], kernel != 0)


def test_frozen_layers_stay_frozen_and_masked():
    legacy = k2.Sequential([layers.Dense(8, input_shape=(4,), name="fc"), layers.Dense(2)])
    kernel = np.where(np.arange(32).reshape(4, 8) % 2, 1.0, 0.0)
    legacy.layers[0].set_weights([kernel, np.ones(8)])
    legacy.layers[0].trainable = False
    model = compare(legacy)
    assert len(model.trainable_variables) == 2
    np.testing.assert_array_equal(model.masks["fc/kernel"], kernel != 0)


def test_mixed_precision():
    legacy = k2.Sequential(
        [layers.Dense(8, input_shape=(4,), dtype="mixed_float16"), layers.Dense(2)]
    )
    model = kt.interop.from_tfmot(legacy)
    assert model.layers[-2].compute_dtype == "float16"
    assert model.layers[-1].compute_dtype == "float32"


class Scale(layers.Layer):
    def build(self, shape):
        self.scale = self.add_weight("scale", (shape[-1],), initializer="uniform")

    def call(self, inputs):
        return inputs * self.scale


class Scale3(keras.layers.Layer):
    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), name="scale")

    def call(self, inputs):
        return inputs * self.scale


def test_custom_objects():
    legacy = k2.Sequential([layers.Dense(8, input_shape=(4,)), Scale(name="scale")])
    with pytest.raises(ValueError, match=r"layer 'scale' \(Scale\) .*custom_objects={'Scale': "):
        kt.interop.from_tfmot(legacy)
    compare(legacy, custom_objects={"Scale": Scale3})
