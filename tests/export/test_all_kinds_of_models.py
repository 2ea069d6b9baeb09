"""No good file is refused: open sizes, nested inputs and outputs, strings, integers, scalars."""

import collections

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops
from slow_cases import slow_unless

import keras_tickets as kt
from keras_tickets.export.samples import Sample, given_shapes, working_samples

FORMATS = {"tf_saved_model": "m", "litert": "m.tflite", "onnx": "m.onnx", "openvino": "m.xml"}


def nested():
    """Names in no order, an unused input, an output that is an input, integers and booleans."""
    zebra, unused = keras.Input((8,), name="zebra"), keras.Input((3,), name="unused")
    ant = keras.Input((None,), dtype="int32", name="ant")
    embedded = layers.GlobalAveragePooling1D()(layers.Embedding(5, 4)(ant))
    hidden = layers.Concatenate()([layers.Dense(16, "relu")(zebra), embedded])
    scores = layers.Dense(3)(hidden)
    parts = [layers.Dense(i + 1)(hidden) for i in range(11)]
    return keras.Model(
        {"zebra": zebra, "more": [ant, (unused,)]},
        {"scores": scores, "class": [ops.argmax(scores, -1), (scores > 0, zebra)], "parts": parts},
    )


def pyramid():
    """A network whose sizes must be multiples of 64."""
    inputs = x = keras.Input((None, None, 1))
    skips = []
    for _ in range(6):
        x = layers.Conv2D(2, 3, padding="same")(x)
        skips.append(x)
        x = layers.MaxPooling2D()(x)
    for _ in range(6):
        x = layers.Concatenate()([layers.UpSampling2D()(x), skips.pop()])
    return keras.Model(inputs, x)


def strided():
    """A network that the LiteRT interpreter crashes on where images are small."""
    inputs = x = keras.Input((None, None, 3))
    for _ in range(4):
        x = layers.Conv2D(8, 5, strides=2)(x)
    return keras.Model(inputs, layers.GlobalAveragePooling2D()(x))


def waves():
    inputs = keras.Input((None, 1))
    return keras.Model(inputs, layers.GlobalMaxPooling1D()(layers.Conv1D(8, 80, strides=4)(inputs)))


def two_resolutions():
    """The first input must be three times as long as the second, plus ten."""
    high, low = keras.Input((None, 1), name="high"), keras.Input((None, 1), name="low")
    x = layers.Add()([layers.AveragePooling1D(4)(high), layers.Conv1D(1, 5)(low)])
    return keras.Model([low, high], layers.Flatten()(layers.GlobalMaxPooling1D()(x)))


def strings():
    words = keras.Input((4,), dtype="string", name="words")
    numbers = layers.StringLookup(vocabulary=["a", "b"])(words)
    return keras.Model(words, {"words": words, "vectors": layers.Embedding(4, 3)(numbers)})


def scalars():
    scale = keras.Input(batch_shape=(), name="scale")
    shift = keras.Input((), name="shift")
    x = keras.Input((4,), name="x")
    return keras.Model([scale, x, shift], layers.Dense(3)(x) * scale + shift[:, None])


def one_name_twice():
    x = keras.Input((8,), name="x")
    y = layers.Dense(3)(x)
    return keras.Model({"x": x}, {"x": y, "again": y})


def one_word():
    words = keras.Input((4,), dtype="int32")
    return keras.Model(words, layers.Embedding(1, 3)(words))


def gelu():
    inputs = keras.Input((8,))
    return keras.Model(inputs, layers.Dense(2)(layers.Dense(16, "gelu")(inputs)))


def odd_names():
    """Words of Python, names that differ by case alone or begin with digits, other alphabets."""
    names = ("class", "self", "X", "x", "1st", "_1st", "größe", "入力")
    inputs = {name: keras.Input((2,), name=name) for name in names}
    joined = layers.Concatenate()(list(inputs.values()))
    return keras.Model(inputs, {"class": layers.Dense(2)(joined), "Y": joined, "y": inputs["x"]})


class Noise(layers.Layer):
    """Trains by default, as Keras's layers for augmentation do."""

    def call(self, inputs, training=True):
        return inputs + 10.0 if training else inputs


def augmented():
    inputs = keras.Input((4,))
    return keras.Model(inputs, layers.Dense(2)(Noise()(inputs)))


def one_number():
    inputs = keras.Input((4,))
    return keras.Model(inputs, ops.sum(layers.Dense(2)(inputs)))


def sparse_part():
    part = kt.sparsify(keras.Sequential([keras.Input((4,)), layers.Dense(8)]), 0.5)
    inputs = keras.Input((4,))
    return keras.Model(inputs, layers.Dense(2)(part(inputs)))


class Moments(keras.Model):
    def __init__(self):
        super().__init__()
        self.head = layers.Dense(2)

    def call(self, inputs):
        kind = collections.namedtuple("Moments", "variance mean")
        return kind(self.head(inputs) ** 2, self.head(inputs))


def named_tuple():
    model = Moments()
    model(np.ones((2, 3), "float32"))
    return model


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.head = layers.Dense(4)

    def call(self, inputs):
        return {"b": self.head(inputs["b"]), "a": [inputs["a"], self.head(inputs["b"]) * 2]}


def subclassed():
    model = Subclassed()
    model({"a": np.ones((2, 3), "float32"), "b": np.ones((2, 5), "float32")})
    return model


KINDS = [
    *((nested, format) for format in FORMATS),
    *((scalars, format) for format in FORMATS),
    *((strings, format) for format in ("tf_saved_model", "litert", "onnx")),
    *((one_name_twice, format) for format in ("tf_saved_model", "onnx", "openvino")),
    *((pyramid, format) for format in ("tf_saved_model", "litert")),
    *((subclassed, format) for format in ("tf_saved_model", "litert")),
    *((odd_names, format) for format in ("tf_saved_model", "litert", "onnx")),
    *((make, "tf_saved_model") for make in (augmented, one_number, named_tuple)),
    (sparse_part, "openvino"),
    (strided, "litert"),
    (waves, "tf_saved_model"),
    (two_resolutions, "onnx"),
    (one_word, "litert"),
    (gelu, "onnx"),
]


def once(make, format):
    """Each network in a format or two, and each format with several networks."""
    return (make, format) not in [
        *((nested, format) for format in ("onnx", "openvino")),
        *((scalars, format) for format in ("tf_saved_model", "onnx")),
        *((one_name_twice, format) for format in ("onnx", "openvino")),
        *((make, "tf_saved_model") for make in (pyramid, subclassed, odd_names)),
        (strings, "litert"),
    ]


@pytest.mark.parametrize(("make", "format"), slow_unless(once, KINDS))
def test_outputs_are_the_same(tmp_path, make, format):
    keras.utils.set_random_seed(0)
    model = make()
    model = kt.sparsify(model, 0.2) if make is nested else model
    report = kt.export(model, tmp_path / FORMATS[format], format=format)
    assert report.max_abs_difference < 1e-5
    assert list(report.latency_ms) == [1, 32]
    open_sizes = make in (nested, pyramid, strided, waves, two_resolutions)
    assert ("Measured with" in report.note) == open_sizes


def test_a_saved_model_takes_and_gives_what_the_model_does(tmp_path):
    model = one_name_twice()
    kt.export(model, tmp_path / "m")
    artifact = tf.saved_model.load(str(tmp_path / "m"))
    assert set(artifact.serve({"x": np.ones((2, 8), "float32")})) == {"x", "again"}
    kt.export(nested(), tmp_path / "n")
    signature = tf.saved_model.load(str(tmp_path / "n")).signatures["serving_default"]
    names = {"scores", "class_0", "class_1_0", "class_1_1", *(f"parts_{i}" for i in range(11))}
    assert set(signature.structured_outputs) == names


def test_onnx_keeps_the_order_of_inputs_and_outputs(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    kt.export(scalars(), tmp_path / "m", format="onnx")
    session = onnxruntime.InferenceSession(tmp_path / "m")
    assert [entry.name for entry in session.get_inputs()] == ["scale", "x", "shift"]
    kt.export(nested(), tmp_path / "n", format="onnx")
    session = onnxruntime.InferenceSession(tmp_path / "n")
    assert [entry.name for entry in session.get_outputs()][3:] == [
        *(f"parts_{i}" for i in range(11)),
        "scores",
    ]


@pytest.mark.parametrize(
    "format",
    slow_unless(lambda format: format == "tf_saved_model", ["tf_saved_model", "litert"]),
)
def test_the_sizes_to_measure_with_can_be_given(tmp_path, format):
    model, path = strided(), tmp_path / FORMATS[format]
    report = kt.export(model, path, format=format, input_shape=(80, 96, 3))
    assert "=80x96x3." in report.note
    for shape in ((32, 32, 3), (80, 80, 4), (80, 80), (0, 80, 3), "80", [(80, 80, 3)] * 2, 80):
        with pytest.raises(ValueError, match=r"`input_shape` must be .*Received: input_shape="):
            kt.export(model, tmp_path / "other", format=format, input_shape=shape)
    assert {entry.name for entry in tmp_path.iterdir()} == {path.name}


def test_shapes_of_several_inputs_are_given_in_their_structure():
    specs = [tf.TensorSpec((None, None, 3), name="a"), tf.TensorSpec((None, 2), name="b")]
    expected = ((None, 5, 3), (None, 2))
    for given in ([(5, 3), (2,)], {"a": (5, 3), "b": (2,)}, [{"x": (5, 3)}, [2]]):
        assert given_shapes(specs, given) == expected


def test_a_model_that_takes_nothing_random_is_exported_and_not_measured(tmp_path):
    inputs = keras.Input((4,))
    numbers = ops.cast(inputs, "int32") + 100
    report = kt.export(keras.Model(inputs, layers.Embedding(5, 3)(numbers)), tmp_path / "m")
    assert np.isnan(report.max_abs_difference) and report.latency_ms == {}
    assert "Not measured" in report.note and "Not measured" in str(report)
    assert (tmp_path / "m" / "saved_model.pb").is_file()


def test_samples_with_finite_outputs_come_first():
    specs = [tf.TensorSpec((None, None), name="x")]

    def root(values):
        (x,) = values
        if x.shape[1] % 3:
            raise ValueError("not a multiple of 3")
        return [np.sqrt(x)]

    with np.errstate(invalid="ignore"):
        first = next(working_samples(root, specs, None, 1))
        assert first.kind == "positive" and first.shapes == ((None, 96),)
        always = list(working_samples(lambda values: [values[0] + np.nan], specs, None, 1))
    assert [sample.shapes for sample in always] == [((None, 32),)]
    with pytest.raises(ZeroDivisionError):
        next(working_samples(lambda values: [1 // 0], specs, None, 1))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8", "uint8", "bool", "string"])
def test_samples_are_of_the_dtype_and_repeat(dtype):
    sample = Sample([tf.TensorSpec((None, 3), dtype)], ((None, 3),))
    one, two = sample.draw(4)[0], sample.draw(4)[0]
    assert one.shape == (4, 3) and one.tobytes() == two.tobytes()
    assert tf.convert_to_tensor(one).dtype == dtype


def test_running_a_model_leaves_its_state_as_it_was(tmp_path):
    inputs = keras.Input(batch_shape=(2, 5, 3))
    x = layers.SimpleRNN(4, stateful=True)(inputs)
    model = keras.Model(inputs, layers.Dropout(0.5)(x, training=True))
    before = [variable.numpy() for variable in model.variables]
    kt.export(model, tmp_path / "m")
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_what_carries_state_is_measured_from_the_state_that_was_exported(tmp_path):
    layer = layers.LSTM(4, stateful=True, unroll=True)
    model = keras.Sequential([keras.Input(batch_shape=(2, 5, 3)), layer])
    assert kt.export(model, tmp_path / "m").max_abs_difference < 1e-6
    assert not any(np.any(state) for state in layer.states)


@pytest.mark.parametrize(
    ("policy", "format"),
    [("mixed_float16", "litert"), ("float64", "litert"), ("bfloat16", "onnx")],
)
def test_arithmetic_that_a_format_lacks_becomes_float32(tmp_path, policy, format):
    def dense(units):
        return layers.Dense(units, "relu", dtype=policy)

    model = kt.sparsify(keras.Sequential([keras.Input((8,)), dense(16), dense(4)]), 0.5)
    report = kt.export(model, tmp_path / "m", format=format)
    assert report.max_abs_difference < 0.03
    dtype = model.layers[-1].compute_dtype
    assert f"computes in float32 where the model computes in {dtype}." in report.note
    assert [layer.dtype_policy.name for layer in kt.strip(model).layers[-2:]] == [policy] * 2
