"""LiteRT files that compute in int8, in ranges that calibration data have."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from litert_networks import network
from networks import mlp
from tensorflow.lite.python import schema_py_generated as schema

import keras_tickets as kt
from keras_tickets.export import measure
from keras_tickets.export.calibration import read_examples
from keras_tickets.export.interface import Interface

INT8, FLOAT32 = schema.TensorType.INT8, schema.TensorType.FLOAT32
X = (2 * np.random.default_rng(0).normal(size=(40, 64)) + 1).astype("float32")


def read(path):
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    return model, model.subgraphs[0]


def int8_kernels(path):
    """{shape: (int8 values, scales)} of the constant int8 matrices and filters of a file."""
    model, graph = read(path)
    found = {}
    for tensor in graph.tensors:
        data = model.buffers[tensor.buffer].data
        if tensor.type == INT8 and data is not None and len(tensor.shape) > 1:
            assert not np.any(tensor.quantization.zeroPoint)
            values = np.asarray(data, np.uint8).view(np.int8).reshape(tensor.shape)
            found[tuple(tensor.shape)] = values, np.asarray(tensor.quantization.scale)
    return found


def codes(path):
    model, graph = read(path)
    return [model.operatorCodes[operator.opcodeIndex] for operator in graph.operators]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A model, the file of it, and the report."""
    model, path = network(), tmp_path_factory.mktemp("calibrated") / "m"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure, "MAX_SECONDS", 0.0)
        return model, path, kt.export(model, path, "litert", quantize="int8", calibration=X)


def test_kernels_and_arithmetic_are_int8_and_zeros_exact(exported):
    model, path, report = exported
    found = int8_kernels(path)
    kernels = {v.shape[::-1]: v.numpy().T for v in kt.strip(model).variables if v.ndim == 2}
    masks = {mask.shape[::-1]: mask.T for mask in model.masks.values()}
    assert set(found) == set(kernels) == {(96, 64), (80, 96)}
    for shape, (values, scales) in found.items():
        assert scales.shape == shape[:1]
        np.testing.assert_array_equal(values[~masks[shape]], 0)
        difference = np.abs(values * scales[:, None] - kernels[shape])
        assert (difference <= 0.501 * scales[:, None]).all()
    _, graph = read(path)
    assert [graph.tensors[i].type for i in (*graph.inputs, *graph.outputs)] == [FLOAT32, FLOAT32]
    fully_connected = schema.BuiltinOperator.FULLY_CONNECTED
    used = [code.builtinCode for code in codes(path)]
    assert used.count(fully_connected) == 2
    for operator, builtin in zip(graph.operators, used, strict=True):
        if builtin == fully_connected:
            ends = graph.tensors[operator.inputs[0]], graph.tensors[operator.outputs[0]]
            assert [tensor.type for tensor in ends] == [INT8, INT8]
    assert [kernel.form for kernel in report.kernels] == ["dense", "dense"]
    assert [kernel.bytes for kernel in report.kernels] == [96 * 64, 80 * 96]


def test_outputs_are_compared_on_the_data(exported):
    model, _, report = exported
    expected = model.predict(X, verbose=0)
    assert 0 < report.max_abs_difference < 0.02 * np.abs(expected).max()
    assert list(report.latency_ms) == [1, 32]
    assert "ranges that are those of 40 examples" in report.note
    assert "2 of 2 kernels are int8 with their zeros" in report.note
    assert f"{96 * 64 + 80 * 96:,} bytes" in report.note
    assert "float32 in" not in report.note


def test_ranges_are_those_of_the_data(exported):
    _, graph = read(exported[1])
    (first,) = [o for o in graph.operators if o.inputs[0] == graph.inputs[0]]
    (scale,) = graph.tensors[first.outputs[0]].quantization.scale
    assert scale == pytest.approx((X.max() - X.min()) / 255, rel=1e-4)


def test_blocks_are_computed_with_as_they_are_stored(tmp_path):
    model = network(kt.structures.Block.for_litert(int8=True), sizes=(64, 96, 80))
    report = kt.export(
        model, tmp_path / "m", "litert", quantize="int8", calibration=X, kernels="sparse"
    )
    assert [kernel.form for kernel in report.kernels] == ["1x16", "1x16"]
    versions = [c.version for c in codes(tmp_path / "m") if c.builtinCode == 9]
    assert versions == [8, 8]
    expected = model.predict(X, verbose=0)
    assert 0 < report.max_abs_difference < 0.02 * np.abs(expected).max()
    assert sum(kernel.bytes for kernel in report.kernels) < 0.2 * (96 * 64 + 80 * 96)
    assert set(report.kernels[0].speedups[1]) == {"1x16"}


@pytest.mark.slow
def test_single_weights_cannot_be_sparse_in_int8(tmp_path):
    with pytest.raises(ValueError, match="do not come in blocks of 1x16.*kernels='sparse'"):
        kt.export(
            network(), tmp_path / "m", "litert", quantize="int8", calibration=X, kernels="sparse"
        )
    assert not list(tmp_path.iterdir())


def convnet():
    inputs = keras.Input((8, 8, 3), name="image")
    other = keras.Input((5,), name="other")
    x = layers.Conv2D(16, 3, activation="relu")(inputs)
    x = layers.DepthwiseConv2D(3)(layers.BatchNormalization()(x))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(16, 1, activation="relu")(x))
    return keras.Model([inputs, other], layers.Dense(4)(layers.Concatenate()([x, other])))


@pytest.mark.slow
def test_convolutions_and_several_inputs(tmp_path):
    keras.utils.set_random_seed(0)
    model = kt.sparsify(convnet(), 0.8, distribution="uniform")
    rng = np.random.default_rng(0)
    data = {
        "other": rng.normal(size=(20, 5)).astype("float32"),
        "image": rng.normal(size=(20, 8, 8, 3)).astype("float32"),
    }
    report = kt.export(model, tmp_path / "m", "litert", quantize="int8", calibration=data)
    expected = model.predict([data["image"], data["other"]], verbose=0)
    assert report.max_abs_difference < 0.05 * np.abs(expected).max()
    assert {k.form for k in report.kernels} == {"dense"} and "float32 in" not in report.note
    values, _ = int8_kernels(tmp_path / "m")[16, 1, 1, 16]
    mask = next(mask for mask in model.masks.values() if mask.shape == (1, 1, 16, 16))
    np.testing.assert_array_equal(values.reshape(16, 16).T[~mask[0, 0]], 0)


@pytest.mark.slow
def test_operators_that_stay_in_float_are_named_and_a_fixed_batch_is_kept(tmp_path):
    inputs = keras.Input(batch_shape=(4, 64), name="x")
    outputs = layers.Dense(8)(keras.ops.sin(layers.Dense(96)(inputs)))
    model = kt.sparsify(keras.Model(inputs, outputs), 0.9)
    report = kt.export(model, tmp_path / "m", "litert", quantize="int8", calibration=X)
    assert "It computes in float32 in " in report.note and "SIN" in report.note
    assert list(report.latency_ms) == [4]


def one_input():
    inputs = keras.Input((64,), name="x")
    return Interface.of(keras.Model(inputs, layers.Dense(1)(inputs)))


def two_inputs():
    a, b = keras.Input((3,), name="a"), keras.Input((None,), dtype="int32", name="b")
    return Interface.of(
        keras.Model({"first": a, "second": b}, [layers.Dense(1)(a), layers.Embedding(9, 2)(b)])
    )


A, B = np.arange(12.0).reshape(4, 3), np.arange(8).reshape(4, 2)
ONE = {
    "array": X,
    "tensor": tf.constant(X),
    "list": [X],
    "name": {"x": X.astype("float64")},
    "batches": (X[i : i + 8] for i in range(0, 40, 8)),
    "with targets": iter([(X[:30], np.zeros(30)), (X[30:], np.zeros(10))]),
    "data set": tf.data.Dataset.from_tensor_slices((X, np.zeros(40))).batch(16),
}
TWO = {
    "names": {"b": B, "a": A},
    "structure": {"first": A, "second": B},
    "order": [A, B],
    "batches": ({"a": A[i : i + 2], "b": B[i : i + 2]} for i in (0, 2)),
}


@pytest.mark.parametrize("form", ONE)
def test_data_of_one_input(form):
    (found,) = read_examples(ONE[form], one_input())
    np.testing.assert_array_equal(found, X)
    assert found.dtype == np.float32


@pytest.mark.parametrize("form", TWO)
def test_data_of_two_inputs(form):
    a, b = read_examples(TWO[form], two_inputs())
    np.testing.assert_array_equal(a, A)
    np.testing.assert_array_equal(b, B)
    assert (a.dtype, b.dtype) == (np.float32, np.int32)


def broken():
    yield X
    raise KeyError("no such file")


WANTED = r"as the model takes them, batch first \(x: float32 of shape \(None, 64\)\)"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (X[:, :5], rf"{WANTED}.*Received: float32 of shape \(40, 5\)"),
        (X[0], WANTED),
        (X[:0], rf"{WANTED}.*\(0, 64\)"),
        ({"y": X}, rf"{WANTED}.*'y': float32 of shape \(40, 64\)"),
        ([X, X], WANTED),
        (X.astype("S"), WANTED),
        (["a"], WANTED),
        (iter([]), "at least one example"),
        (np.where(X > 3, np.nan, X), r"finite values that float32 has. Received: x with \d+ oth"),
        (X.astype("float64") * 1e300, "finite values that float32 has"),
        (tf.data.Dataset.from_tensors(X).repeat(), r"must end: pass `dataset.take\(…\)`"),
        (broken(), "must give batches. Received: KeyError: 'no such file'"),
        ("data.npz", "must be an array, .* Received: an object of type str"),
        (3, "must be an array, .* Received: an object of type int"),
    ],
    ids=lambda case: "",
)
def test_data_that_do_not_fit(data, message):
    with pytest.raises((ValueError, TypeError), match=f"^`calibration` .*{message}"):
        read_examples(data, one_input())


def test_data_of_several_inputs_that_do_not_fit():
    for a, b, message in (
        (A, B[:2], r"a: float64 .*|'a': float64 of shape \(4, 3\)"),
        (A, B + 0.5, "as the model takes them"),
        (A, B + 2**40, "values that int32 has"),
    ):
        with pytest.raises(ValueError, match=message):
            read_examples({"a": A if a is None else a, "b": b}, two_inputs())
    with pytest.raises(ValueError, match=r"of one size. Received: b of shapes \(1,\), \(2,\)"):
        read_examples(([A, B[:, :n]] for n in (1, 2)), two_inputs())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "`calibration` must be None unless format='litert' and quantize='int8'"),
        ({"format": "onnx"}, "must be None unless .*Received: format='onnx', quantize=None"),
        ({"format": "litert"}, "must be None unless .*quantize=None"),
        ({"format": "litert", "quantize": "int8", "input_shape": (64,)}, "`input_shape` must be N"),
        (
            {"format": "litert", "quantize": "int8", "kernels": "auto", "target": "arm64"},
            "`target` must be None with calibration data",
        ),
        ({"format": "litert", "quantize": "int8", "calibration": X[:, :5]}, "batch first"),
    ],
)
def test_refusals_leave_an_older_file_as_it_is(tmp_path, options, message):
    (tmp_path / "m").write_bytes(b"xxxxTFL3")
    with pytest.raises(ValueError, match=message):
        kt.export(mlp(64), tmp_path / "m", overwrite=True, **{"calibration": X, **options})
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"xxxxTFL3"]


def test_what_is_no_data_is_an_error_of_type(tmp_path):
    with pytest.raises(TypeError, match="^`calibration` must be an array"):
        kt.export(mlp(64), tmp_path / "m", format="litert", quantize="int8", calibration=3)
    assert not (tmp_path / "m").exists()
