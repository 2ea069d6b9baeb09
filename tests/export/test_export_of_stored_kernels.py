"""Models that store kernels sparsely are exported without their dense kernels."""

import json
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from slow_cases import slow_unless
from tensorflow.lite.python import schema_py_generated as schema

import keras_tickets as kt
from keras_tickets.export import litert_choice
from keras_tickets.export.litert_sparsity import NonZeros
from keras_tickets.layers import SparseDense
from keras_tickets.model import stripping

WORKER = pathlib.Path(__file__).with_name("stored_export_worker.py")


def network(engine="auto"):
    """Two sparse layers on sequences, one of them called twice; an input with a kernel's name."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 40), name="fc_kernel")
    options = {"bias_initializer": "random_normal", "engine": engine}
    x = SparseDense(72, 0.9, "relu", name="fc", **options)(inputs)
    x = layers.Dense(40, name="dense")(x)
    twice = SparseDense(40, 0.8, name="twice", **options)
    return keras.Model(inputs, {"out": twice(layers.ReLU()(twice(x)))})


def refuse_whole_kernels(monkeypatch):
    """From now on no dense kernel can be formed."""

    def refuse(*arguments):
        raise AssertionError("a dense kernel is formed")

    monkeypatch.setattr(stripping, "dense_layer", refuse)
    monkeypatch.setattr("keras_tickets._sparse_storage.kernel.spread", refuse)
    monkeypatch.setattr("keras_tickets._sparse_storage.kernel.mask_of", refuse)
    monkeypatch.setattr(NonZeros, "whole", refuse)


def sparse_tensors(path):
    """What the sparse tensors of a file hold."""
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    found = set()
    for tensor in model.subgraphs[0].tensors:
        if tensor.sparsity is not None:
            axis = tensor.sparsity.dimMetadata[1]
            data = bytes(np.asarray(model.buffers[tensor.buffer].data, np.uint8))
            parts = [axis.arraySegments.values, axis.arrayIndices.values]
            found.add((tuple(tensor.shape), data, *(tuple(part) for part in parts)))
    return found


FILES = [(None, "sparse"), (None, "packed"), ("int8", "packed")]


@pytest.mark.parametrize("quantize, kernels", slow_unless(lambda _, k: k == "sparse", FILES))
def test_the_file_holds_what_that_of_the_dense_model_does(tmp_path, monkeypatch, quantize, kernels):
    model, options = network(), {"quantize": quantize, "kernels": kernels}
    dense = kt.export(kt.strip(model), tmp_path / "dense", "litert", **options)
    refuse_whole_kernels(monkeypatch)
    stored = kt.export(model, tmp_path / "stored", "litert", **options)
    assert abs(stored.max_abs_difference - dense.max_abs_difference) < 1e-5
    assert quantize or stored.max_abs_difference < 1e-5
    assert sparse_tensors(*stored.files) == sparse_tensors(*dense.files) != set()
    forms = [{(k.form, k.bytes) for k in each.kernels} for each in (stored, dense)]
    assert forms[0] == forms[1]
    assert {k.name for k in stored.kernels if k.form != "dense"} == {"fc", "twice"}


@pytest.mark.slow
def test_auto_races_the_kernel_expanded_by_the_interpreter(tmp_path, monkeypatch):
    refuse_whole_kernels(monkeypatch)
    report = kt.export(network(), tmp_path / "m", "litert", kernels="auto")
    for kernel in report.kernels:
        if kernel.name in ("fc", "twice"):
            assert all(set(factors) == {"csr"} for factors in kernel.speedups.values())
            assert min(factors["csr"] for factors in kernel.speedups.values()) > 0


@pytest.mark.slow
def test_what_is_too_large_to_expand_is_not_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(litert_choice, "MOST_EXPANDED", 4 * 40 * 72 - 1)
    report = kt.export(network(), tmp_path / "m", "litert", kernels="auto")
    kernels = {kernel.name: kernel for kernel in report.kernels}
    assert kernels["fc"].form == "csr" and kernels["fc"].reason.startswith("expanded it would take")
    assert not kernels["fc"].speedups and kernels["twice"].speedups
    assert report.ram_bytes is not None and report.packed_ram_bytes is None
    assert "not compared" in report.note and str(report)


@pytest.mark.slow
def test_masked_and_stored_kernels_go_together(tmp_path, monkeypatch):
    refuse_whole_kernels(monkeypatch)
    held = {"kernel_constraint": "max_norm"}
    dense = [layers.Dense(96, "relu", name="a"), layers.Dense(80, name="b", **held)]
    model = kt.sparsify(keras.Sequential([keras.Input((64,)), *dense]), 0.9, storage="sparse")
    report = kt.export(model, tmp_path / "m", "litert", kernels="sparse")
    assert [(each.name, each.form) for each in report.kernels] == [("a", "csr"), ("b", "csr")]
    assert report.max_abs_difference < 1e-5


def test_a_saved_model_computes_with_what_is_stored(tmp_path, monkeypatch):
    refuse_whole_kernels(monkeypatch)
    report = kt.export(network("tensorflow"), tmp_path / "m")
    assert report.max_abs_difference < 1e-5 and "'fc/kernel', 'twice/kernel'" in report.note
    graph = tf.saved_model.load(str(tmp_path / "m")).signatures["serving_default"].graph
    definition = graph.as_graph_def()
    nodes = [*definition.node, *(n for f in definition.library.function for n in f.node_def)]
    assert "SparseMatrixMatMul" in {node.op for node in nodes}


@pytest.mark.parametrize(
    "format, engine",
    slow_unless(
        lambda format, _: format != "onnx", [("tf_saved_model", "auto"), ("onnx", "tensorflow")]
    ),
)
def test_other_files_hold_dense_kernels_or_say_that_they_cannot(tmp_path, format, engine):
    pytest.importorskip("tf2onnx" if format == "onnx" else "tensorflow")
    report = kt.export(network(engine), tmp_path / "m", format)
    assert report.max_abs_difference < 1e-5
    large = keras.Sequential([keras.Input((2**16,)), SparseDense(2**16, 1 - 2**-24, name="fc")])
    with pytest.raises(ValueError, match="`format` must be 'litert'.*fc/kernel.*65536, 65536"):
        kt.export(large, tmp_path / "large", format)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads Linux's /proc")
def test_a_kernel_of_4_gb_is_exported_in_little_memory(tmp_path):
    command = [sys.executable, WORKER, tmp_path / "m.tflite"]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-3000:]
    found = json.loads(run.stdout.splitlines()[-1])
    assert found["weights"] == 1_000_000 and found["dense_bytes"] == 2**32
    assert found["own_growth"] < 700e6 and found["other_peak"] < 1.6e9, found
    assert found["ram"] < 50e6, found
    assert found["difference"] < 1e-4
    assert (tmp_path / "m.tflite").stat().st_size < 10e6
