"""ONNX and OpenVINO, where they are installed, and what is said where they are not."""

import importlib.util
import itertools
import os
import signal

import keras
import numpy as np
import pytest
from faults import run_killed
from keras import layers
from slow_cases import slow_unless

import keras_tickets as kt
from keras_tickets.export import placing
from keras_tickets.export.formats import FORMATS as FORMATS_BY_NAME

FORMATS = {"onnx": ("m.onnx", "tf2onnx"), "openvino": ("m.xml", "openvino")}


def model_of(kind):
    keras.utils.set_random_seed(0)
    if kind == "images":
        inputs = keras.Input((8, 8, 3))
        x = layers.Conv2D(16, 3, padding="same", use_bias=False)(inputs)
        x = layers.ReLU()(layers.BatchNormalization()(x))
        x = layers.Add()([x, layers.DepthwiseConv2D(3, padding="same")(x)])
        return keras.Model(inputs, layers.Dense(4)(layers.GlobalAveragePooling2D()(x)))
    zebra, ant = keras.Input((3,), name="zebra"), keras.Input((5,), name="ant")
    x = layers.Concatenate()([layers.Dense(8, "tanh")(zebra), ant])
    return keras.Model([zebra, ant], [layers.Dense(2)(x), layers.Dense(3)(x)])


@pytest.mark.parametrize(
    "format, kind",
    slow_unless(
        lambda format, kind: format == "onnx",  # OpenVINO is in test_all_kinds_of_models.py
        itertools.product(FORMATS, ["images", "several inputs and outputs"]),
    ),
)
def test_outputs_are_the_same(tmp_path, format, kind):
    file, package = FORMATS[format]
    pytest.importorskip(package)
    sparse = kt.sparsify(model_of(kind), 0.5)
    report = kt.export(sparse, tmp_path / "new" / file, format=format)
    assert report.max_abs_difference < 1e-5
    assert report.bytes == sum(path.stat().st_size for path in (tmp_path / "new").iterdir())
    assert list(report.latency_ms) == [1, 32]
    assert "neither smaller nor faster" in report.note


def test_onnx_kernels_are_exactly_sparse(tmp_path):
    pytest.importorskip("tf2onnx")
    import onnx

    sparse = kt.sparsify(keras.Sequential([keras.Input((20,)), layers.Dense(30)]), 0.9)
    kt.export(sparse, tmp_path / "m.onnx", format="onnx")
    weights = onnx.load(tmp_path / "m.onnx").graph.initializer
    (kernel,) = (w for w in map(onnx.numpy_helper.to_array, weights) if w.shape == (20, 30))
    (mask,) = kt.get_masks(sparse).values()
    np.testing.assert_array_equal(kernel != 0, mask)


@pytest.mark.parametrize("format", FORMATS)
def test_a_missing_package_is_named_with_what_installs_it(tmp_path, format, monkeypatch):
    file, package = FORMATS[format]
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == package else real(name, *a)
    )
    message = rf"format='{format}' needs {package}, .*: pip install keras-tickets\[{format}\]"
    with pytest.raises(ImportError, match=message):
        kt.export(model_of("images"), tmp_path / file, format=format)
    assert not list(tmp_path.iterdir())


def test_neither_file_of_openvino_is_overwritten(tmp_path):
    pytest.importorskip("openvino")
    for name in ("m.bin", "n.xml"):
        (tmp_path / name).write_text("precious")
        for overwrite in (False, True):
            with pytest.raises(ValueError, match=f"'{name}' (exists already|is not one)"):
                kt.export(
                    model_of("images"),
                    (tmp_path / name).with_suffix(".xml"),
                    format="openvino",
                    overwrite=overwrite,
                )
        assert (tmp_path / name).read_text() == "precious"
    assert len(list(tmp_path.iterdir())) == 2


def test_a_kill_between_the_files_of_openvino_leaves_no_pair_of_two_models(tmp_path):
    files = [tmp_path / "m.xml", tmp_path / "m.bin"]
    older = [b"<?xml version='1.0'?><net name='older'>", b"older"]
    for file, content in zip(files, older, strict=True):
        file.write_bytes(content)

    def replace_and_die():
        def link_and_die(source, target, link=os.link):
            link(source, target)
            os.kill(os.getpid(), signal.SIGKILL)

        os.link = link_and_die
        with placing.folder_beside(files[0]) as room:
            (room / "new").mkdir()
            for file in files:
                (room / "new" / file.name).write_bytes(b"new")
            format = FORMATS_BY_NAME["openvino"]
            placing.put_in_place(room / "new", files[0], room, format, overwrite=True)

    run_killed(replace_and_die)
    assert not files[0].exists() and files[1].read_bytes() == b"new"
    with pytest.raises(ValueError, match="'m.xml' exists already"):
        placing.check_path(files[0], FORMATS_BY_NAME["openvino"], overwrite=False)
    assert [file.read_bytes() for file in files] == older


@pytest.mark.parametrize(
    "format", slow_unless(lambda format: format != "openvino", ["litert", *FORMATS])
)
def test_an_export_of_the_same_format_alone_is_replaced(tmp_path, format):
    file = FORMATS.get(format, ("m.tflite",))[0]
    model = keras.Sequential([keras.Input((8,)), layers.Dense(4)])
    kt.export(model, tmp_path / file, format=format)
    model.layers[0].kernel.assign_add(keras.ops.ones((8, 4)))
    report = kt.export(model, tmp_path / file, format=format, overwrite=True)
    assert report.max_abs_difference < 1e-5
    others = {"litert": "onnx", "onnx": "litert", "openvino": "litert"}
    with pytest.raises(ValueError, match=f"'{file}' is not one"):
        kt.export(model, tmp_path / file, format=others[format], overwrite=True)
    assert set(report.files) == set(tmp_path.iterdir())
