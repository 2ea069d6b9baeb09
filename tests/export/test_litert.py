"""LiteRT files: sparse and int8 kernels, read back by TensorFlow's interpreter."""

import itertools
import re

import flatbuffers
import keras
import numpy as np
import pytest
from keras import layers
from slow_cases import slow_unless
from tensorflow.lite.python import schema_py_generated as schema

import keras_tickets as kt
from keras_tickets.export.litert_sparsity import SparseRows

TYPES = {schema.TensorType.FLOAT32: np.float32, schema.TensorType.INT8: np.int8}


def mlp(sizes=(64, 300, 100), sparsity=0.9):
    keras.utils.set_random_seed(0)
    inside = [layers.Dense(n, "relu", name=f"fc{i}") for i, n in enumerate(sizes[1:], 1)]
    return kt.sparsify(keras.Sequential([keras.Input(sizes[:1]), *inside]), sparsity)


def convnet():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 8))
    x = layers.Conv2D(300, 3, padding="same", name="wide_next")(inputs)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.Conv2D(64, 1, activation="relu", name="pointwise")(x)
    x = layers.DepthwiseConv2D(3, padding="same")(x)
    shared = layers.Conv2D(64, 3, padding="same", name="shared")
    x = layers.Add()([shared(x), shared(shared(x))])
    x = layers.Conv2DTranspose(32, 3, strides=2)(x)
    x = layers.EinsumDense("abcd,de->abce", (None, None, 48), bias_axes="e")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(10)(x))


def volumes():
    inputs = keras.Input((6, 6, 6, 4))
    x = layers.Conv3D(32, 3, activation="relu")(inputs)
    return keras.Model(inputs, layers.Dense(3)(layers.Flatten()(layers.Conv3D(32, 3)(x))))


def tokens():
    inputs = keras.Input((12,), dtype="int32")
    x = layers.Embedding(500, 64)(inputs)
    x = layers.Add()([x, layers.MultiHeadAttention(4, 16)(x, x)])
    return keras.Model(
        inputs, layers.Dense(7)(layers.GRU(32, unroll=True)(layers.LayerNormalization()(x)))
    )


def read(path):
    content = path.read_bytes()
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    return model, model.subgraphs[0].tensors


def stored(model, tensor):
    """The kernel a tensor stands for, by the format's rules alone."""
    data = np.asarray(model.buffers[tensor.buffer].data, np.uint8).view(TYPES[tensor.type])
    if tensor.sparsity is None:
        return data.reshape(tensor.shape)
    *dense, last = tensor.sparsity.dimMetadata
    assert [axis.denseSize for axis in dense] == list(tensor.shape[:-1])
    assert list(tensor.sparsity.traversalOrder) == list(range(len(tensor.shape)))
    starts, columns = last.arraySegments.values, last.arrayIndices.values
    kernel = np.zeros(tensor.shape, data.dtype).reshape(-1, tensor.shape[-1])
    for row, (start, end) in enumerate(itertools.pairwise(starts)):
        kernel[row, columns[start:end]] = data[start:end]
    return kernel.reshape(tensor.shape)


@pytest.mark.parametrize("quantize", [None, "int8"])
def test_the_file_holds_the_kernels(tmp_path, quantize):
    sparse = mlp()
    report = kt.export(sparse, tmp_path / "m.tflite", format="litert", quantize=quantize)
    model, tensors = read(tmp_path / "m.tflite")
    found = [tensor for tensor in tensors if tensor.sparsity is not None]
    kernels = {v.shape: v.numpy() for v in kt.strip(sparse).variables if v.ndim == 2}
    assert len(found) == len(kernels) == 2
    for tensor in found:
        kernel, actual = kernels[tuple(tensor.shape[::-1])].T, stored(model, tensor)
        np.testing.assert_array_equal(actual[kernel == 0], 0)
        if quantize is None:
            np.testing.assert_array_equal(actual, kernel)
        else:
            (expanded,) = (
                t for t in tensors if t.name == tensor.name.split(b"/")[-2] + b"/expanded"
            )
            scale = np.asarray(expanded.quantization.scale)[:, None]
            np.testing.assert_allclose(scale[:, 0], np.abs(kernel).max(axis=1) / 127, rtol=1e-6)
            assert np.abs(actual * scale - kernel).max() <= 0.501 * scale.max()
            assert not np.any(expanded.quantization.zeroPoint)
    assert report.files == (tmp_path / "m.tflite",)
    limit = 1e-6 if quantize is None else 0.05
    assert report.max_abs_difference < limit
    nonzero = sum(mask.sum() for mask in kt.get_masks(sparse).values())
    value = 1 if quantize else 4
    # 300 kernel columns need 2 bytes: those of fc2 alone.
    indices = nonzero + kt.get_masks(sparse)["fc2/kernel"].sum()
    assert value * nonzero + indices < report.bytes < value * nonzero + indices + 14_000


@pytest.mark.parametrize(
    "make, quantize",
    slow_unless(
        lambda make, quantize: (quantize == "int8") == (make is convnet),
        itertools.product([convnet, volumes, tokens], [None, "int8"]),
    ),
)
def test_layers_of_all_kinds_run_with_the_same_outputs(tmp_path, make, quantize):
    sparse = kt.sparsify(make(), 0.9, distribution="uniform")
    report = kt.export(sparse, tmp_path / "m.tflite", format="litert", quantize=quantize)
    assert report.max_abs_difference < (1e-4 if quantize is None else 0.02)
    assert " kernels lie in the file as their non-zero values" in report.note
    assert list(report.latency_ms) == [1, 32]


def test_report_names_the_kernels_with_rows_longer_than_256(tmp_path):
    note = kt.export(
        kt.sparsify(convnet(), 0.9, distribution="uniform"), tmp_path / "m", format="litert"
    ).note
    assert re.search(r"Rows longer than 256 need 2 bytes a column index: pointwise\. ", note)
    assert "neither smaller in memory nor faster" in note
    note = kt.export(mlp((256, 256)), tmp_path / "n", format="litert").note
    assert "2 bytes" not in note and "1 of 1 kernels" in note


def test_dense_kernels_stay_as_they_are(tmp_path):
    model = kt.strip(mlp(sparsity=0.0))
    report = kt.export(model, tmp_path / "m", format="litert")
    assert "None of the 2 kernels" in report.note
    assert all(tensor.sparsity is None for tensor in read(tmp_path / "m")[1])
    report = kt.export(model, tmp_path / "n", format="litert", quantize="int8")
    assert report.bytes < 0.35 * (tmp_path / "m").stat().st_size
    assert report.max_abs_difference < 0.05


def test_several_inputs_and_outputs_keep_their_order(tmp_path):
    left, right = keras.Input((3,), name="zebra"), keras.Input((300,), name="ant")
    joined = layers.Concatenate()([layers.Dense(200)(right), left])
    outputs = [layers.Dense(i + 1)(joined) for i in range(12)]
    model = kt.sparsify(keras.Model({"x": left, "a": right}, outputs), 0.5)
    report = kt.export(model, tmp_path / "m.tflite", format="litert")
    assert report.max_abs_difference < 1e-5


def test_buffers_lie_where_the_format_asks(tmp_path):
    kt.export(mlp(), tmp_path / "m", format="litert", quantize="int8")
    content = (tmp_path / "m").read_bytes()
    model = schema.Model.GetRootAs(content, 0)
    offsets = []
    for index in range(model.BuffersLength()):
        table = model.Buffers(index)._tab
        field = flatbuffers.number_types.UOffsetTFlags.py_type(table.Offset(4))
        if field and model.Buffers(index).DataLength():
            offsets.append(table.Vector(field))
    assert len(offsets) >= 4 and not any(offset % 16 for offset in offsets)


@pytest.mark.parametrize(
    ("columns", "dtype"), [(256, np.uint8), (257, np.uint16), (65536, np.uint16), (65537, np.int32)]
)
def test_indices_are_as_narrow_as_they_can_be(columns, dtype):
    values = np.zeros((2, columns), np.float32)
    values[1, -1] = 3
    rows = SparseRows.of(values)
    indices = rows.parameters.dimMetadata[-1].arrayIndices.values
    assert indices.dtype == dtype and indices.tolist() == [columns - 1]
    index_bytes = np.dtype(dtype).itemsize
    assert rows.index_bytes == index_bytes and rows.bytes == 4 + index_bytes + 3


def test_an_operator_that_only_tensorflow_has_is_named_with_the_way_out(tmp_path):
    inputs = keras.Input((10, 4))
    model = keras.Model(inputs, layers.LSTM(8)(inputs))
    with pytest.raises(ValueError, match=r"no operators TensorListReserve.*unroll=True"):
        kt.export(model, tmp_path / "m", format="litert")
    assert not list(tmp_path.iterdir())
