"""LiteRT kernels that the interpreter computes with as they are stored, without their zeros."""

import importlib.util
import re
import sys
import types
import warnings

import keras
import numpy as np
import pytest
from keras import layers
from litert_networks import network
from tensorflow.lite.python import schema_py_generated as schema

import keras_tickets as kt
from keras_tickets.export import litert_races
from keras_tickets.export._apart import run_litert

FORMS = {"csr": (1, None), "1x4": (4, None), "1x16": (16, "int8")}
Block = kt.structures.Block


def structure_of(form):
    width, _ = FORMS[form]
    return None if width == 1 else Block((width, 1))


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """{form: (model, path, report)}, each with all kernels in that form."""
    folder = tmp_path_factory.mktemp("sparse")
    found = {}
    for form, (_, quantize) in FORMS.items():
        model = network(structure_of(form))
        path = folder / form
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(litert_races, "MAX_SECONDS", 0.0)
            report = kt.export(model, path, "litert", quantize=quantize, kernels="sparse")
        found[form] = model, path, report
    return found


def read(path):
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    return model, model.subgraphs[0]


def expanded(values, sparsity, shape):
    """A matrix by the format's rules: rows of blocks at the columns that are stored."""
    axes = sparsity.dimMetadata
    width = axes[2].denseSize if len(axes) == 3 else 1
    starts, columns = axes[1].arraySegments.values, axes[1].arrayIndices.values
    assert list(sparsity.traversalOrder) == list(range(len(axes)))
    assert (list(sparsity.blockMap) == [1]) if len(axes) == 3 else sparsity.blockMap is None
    assert axes[0].denseSize == shape[0] == len(starts) - 1
    blocks = np.zeros((shape[0], shape[1] // width, width), values.dtype)
    rows = np.repeat(np.arange(shape[0]), np.diff(starts))
    blocks[rows, columns] = values.reshape(-1, width)
    return blocks.reshape(shape)


@pytest.mark.parametrize("form", FORMS)
def test_the_file_holds_the_masks_and_values(exported, form):
    sparse, path, report = exported[form]
    model, graph = read(path)
    codes = [model.operatorCodes[operator.opcodeIndex] for operator in graph.operators]
    fully_connected = schema.BuiltinOperator.FULLY_CONNECTED
    assert [(code.builtinCode, code.version) for code in codes] == [(fully_connected, 8)] * 2
    kernels = {v.shape: v.numpy() for v in kt.strip(sparse).variables if len(v.shape) == 2}
    masks = {mask.shape: mask for mask in sparse.masks.values()}
    width, quantize = FORMS[form]
    dtype = np.int8 if quantize else np.float32
    for operator, described in zip(graph.operators, report.kernels, strict=True):
        tensor = graph.tensors[operator.inputs[1]]
        data = np.asarray(model.buffers[tensor.buffer].data, np.uint8).view(dtype)
        actual = expanded(data, tensor.sparsity, tuple(tensor.shape))
        shape = tuple(tensor.shape)[::-1]
        np.testing.assert_array_equal(
            (actual.reshape(shape[1], -1, width) != 0).any(axis=2),
            masks[shape].T.reshape(shape[1], -1, width).any(axis=2),
        )
        if quantize:
            (scale,), (zero,) = tensor.quantization.scale, tensor.quantization.zeroPoint
            assert zero == 0 and scale == pytest.approx(np.abs(kernels[shape]).max() / 127)
            assert np.abs(actual * scale - kernels[shape].T).max() <= 0.501 * scale
        else:
            np.testing.assert_array_equal(actual, kernels[shape].T)
        axis = tensor.sparsity.dimMetadata[1]
        stored = data.nbytes + axis.arrayIndices.values.nbytes + axis.arraySegments.values.nbytes
        assert described.form == form and described.bytes == stored


@pytest.mark.parametrize("package", ["ai_edge_litert", "tensorflow"])
@pytest.mark.parametrize("form", FORMS)
def test_outputs_equal_those_of_the_model_at_any_batch_size(exported, form, package, monkeypatch):
    if package == "tensorflow":
        hide(monkeypatch, "ai_edge_litert")
    else:
        pytest.importorskip(package)
    sparse, path, _ = exported[form]
    inputs = np.random.default_rng(1).normal(size=(5, 64)).astype("float32")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for batch in (1, 5):
            outputs = run_litert.prepare(str(path), {sparse.inputs[0].name: inputs[:batch]})()
            expected = sparse.predict(inputs[:batch], verbose=0)
            limit = 0.02 * np.abs(expected).max() if form == "1x16" else 1e-5
            np.testing.assert_allclose(outputs["output_0"], expected, rtol=0, atol=limit)


def hide(monkeypatch, package):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == package else real(name, *a)
    )


def test_without_an_interpreter_it_says_what_to_install(monkeypatch):
    hide(monkeypatch, "ai_edge_litert")
    monkeypatch.setitem(sys.modules, "tensorflow", types.SimpleNamespace(lite=object()))
    with pytest.raises(ImportError, match="pip install ai-edge-litert"):
        run_litert.classes()


def test_the_report_says_what_was_measured(exported):
    _, path, report = exported["1x4"]
    assert report.max_abs_difference < 1e-5
    assert list(report.speedup) == [1, 8, 32] and min(report.speedup.values()) > 0
    assert 0 < report.ram_bytes and 0 < report.packed_ram_bytes
    for kernel in report.kernels:
        assert list(kernel.speedups) == list(kernel.best) == [1, 8, 32]
        assert all(set(factors) == {"csr", "1x4"} for factors in kernel.speedups.values())
        assert re.fullmatch(
            r"csr [\d.]+ times as fast, 1x4 [\d.]+ times as fast as dense at batch size 1",
            kernel.reason,
        )
    text = str(report)
    assert re.search(r"^fc1 +1x4 +[\d,]+ +", text, re.MULTILINE), text
    assert "2 of 2 kernels are computed with as they are stored" in report.note
    assert "kernels='sparse' asks for it" in report.note
    assert max(map(len, text.splitlines())) <= 80


def test_a_file_of_int8_says_that_inputs_are_rounded(exported):
    assert "2 are int8, one scale a kernel" in exported["1x16"][2].note


@pytest.mark.parametrize(
    "options, message",
    [
        ({"kernels": "fast"}, "`kernels` must be 'packed' or 'auto' or 'sparse' with format='lite"),
        (
            {"batch_size": 0, "kernels": "auto"},
            r"`batch_size` must be a positive integer. Received: batch_size=0",
        ),
        (
            {"target": "x86", "kernels": "auto"},
            "`target` must be None or 'arm64' with format='litert'",
        ),
        ({"target": "arm64", "kernels": "sparse"}, "`target` must be None with kernels='sparse'"),
        ({"batch_size": 8, "kernels": "packed"}, "`batch_size` must be 1 with kernels='packed'"),
        ({"format": "onnx", "kernels": "sparse"}, "`kernels` must be 'packed' with format='onnx'"),
        (
            {"kernels": "sparse", "quantize": "int8"},
            r"computed with without its zeros\. fc1: its zeros do not come in blocks of 1x16",
        ),
    ],
)
def test_bad_options_are_named_and_nothing_is_written(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        kt.export(network(), tmp_path / "new" / "m", **{"format": "litert", **options})
    assert not list(tmp_path.rglob("m"))


def test_a_convolution_cannot_be_sparse_and_is_named(tmp_path):
    inputs = keras.Input((8, 8, 8))
    conv = kt.sparsify(keras.Model(inputs, layers.Conv2D(64, 3, name="conv")(inputs)), 0.9)
    with pytest.raises(ValueError, match="CONV_2D cannot compute with sparse kernels"):
        kt.export(conv, tmp_path / "m", "litert", kernels="sparse")
    report = kt.export(conv, tmp_path / "m", "litert", kernels="auto")
    assert report.kernels[0].form == "packed" and "CONV_2D" in report.kernels[0].reason


def test_a_model_of_one_batch_size_is_measured_at_that(tmp_path):
    fixed = keras.Sequential([keras.Input(batch_shape=(4, 64)), layers.Dense(96)])
    sparse = kt.sparsify(fixed, 0.9)
    report = kt.export(sparse, tmp_path / "m", "litert", kernels="sparse")
    assert list(report.kernels[0].speedups) == list(report.speedup) == [4]
    with pytest.raises(ValueError, match="`batch_size` must be 4, which the model's inputs have"):
        kt.export(sparse, tmp_path / "n", "litert", kernels="auto", batch_size=8)


def attention():
    inputs = keras.Input((6, 32))
    x = layers.MultiHeadAttention(4, 16)(inputs, inputs)
    x = layers.EinsumDense("abc,cd->abd", (6, 64), activation="relu")(x)
    shared = layers.Dense(64, use_bias=False)
    return keras.Model(inputs, [shared(x), shared(shared(x))])


def test_every_fully_connected_layer_is_found(tmp_path):
    keras.utils.set_random_seed(0)
    sparse = kt.sparsify(attention(), 0.9, structure=Block.for_litert(), distribution="uniform")
    report = kt.export(sparse, tmp_path / "m", "litert", kernels="sparse")
    assert report.max_abs_difference < 1e-5
    assert len(report.kernels) == 6
    assert all(set(kernel.speedups[1]) == {"csr", "1x4"} for kernel in report.kernels)
    assert not [kernel for kernel in report.kernels if kernel.form == "packed"]


@pytest.mark.parametrize(
    "shape, filled, words",
    [
        ((4112, 4), 16, "of at most 4096 inputs"),
        ((4096, 4), 4096, "do not come in blocks of 1x16"),
        ((72, 400), 8, "72 inputs are no multiple of 16"),
    ],
)
def test_int8_blocks_that_the_interpreter_gets_wrong_are_refused(tmp_path, shape, filled, words):
    """Its kernel keeps columns and counts of blocks in single bytes, and does not check them."""
    kernel = np.zeros(shape, "float32")
    kernel[:filled, 0] = 1.0
    model = keras.Sequential([keras.Input(shape[:1]), layers.Dense(shape[1], name="fc")])
    model.layers[0].set_weights([kernel, np.zeros(shape[1], "float32")])
    report = kt.export(model, tmp_path / "m", "litert", quantize="int8", kernels="auto")
    assert report.kernels[0].form == "packed" and words in report.kernels[0].reason
    assert report.max_abs_difference < 0.05 * filled
