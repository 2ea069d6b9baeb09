"""`kt.export`: what is written, that it serves alone, and that nothing of the user's is lost."""

import gzip
import os
import pathlib
import subprocess
import sys
import threading
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from networks import mlp

import keras_tickets as kt
from keras_tickets._files import atomic
from keras_tickets.export import report as report_lib
from keras_tickets.export import saved_model
from keras_tickets.export.interface import Interface
from keras_tickets.export.measure import Trial

SERVE = """
import sys
sys.modules["keras_tickets"] = None  # importing it would raise ImportError
import numpy as np, tensorflow as tf
artifact = tf.saved_model.load(sys.argv[1])
np.save(sys.argv[3], artifact.serve(np.load(sys.argv[2])).numpy())
"""


def dense_model(**kwargs):
    return mlp(8, (16,), 4, **kwargs)


@pytest.fixture(scope="module")
def sparse_model():
    return kt.sparsify(dense_model(), 0.8)


@pytest.fixture(scope="module")
def exported(sparse_model, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "new" / "model"
    return path, kt.export(sparse_model, path)


def test_report_describes_what_lies_on_disk(exported):
    path, report = exported
    on_disk = {file for file in path.rglob("*") if file.is_file()}
    assert set(report.files) == on_disk
    assert "saved_model.pb" in {file.name for file in report.files}
    assert report.bytes == sum(file.stat().st_size for file in on_disk)
    reference = sum(len(gzip.compress(file.read_bytes(), 6)) for file in on_disk)
    assert abs(report.gzip_bytes - reference) <= 64 * len(on_disk)
    assert report.max_abs_difference < 1e-6
    assert list(report.latency_ms) == [1, 32]
    for time in report.latency_ms.values():
        assert 0 < time.lowest <= time.median <= time.highest
    assert "neither smaller nor faster" in report.note
    printed = " ".join(str(report).split())
    assert f"{report.bytes:,} bytes" in printed and report.note in printed
    assert max(map(len, str(report).splitlines())) <= 80


def test_nothing_but_the_model_is_left(exported):
    path, _ = exported
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.mark.slow
def test_serves_where_keras_tickets_cannot_be_imported(sparse_model, exported, tmp_path):
    inputs = np.random.default_rng(1).standard_normal((5, 8)).astype("float32")
    np.save(tmp_path / "inputs.npy", inputs)
    arguments = [exported[0], tmp_path / "inputs.npy", tmp_path / "outputs.npy"]
    subprocess.run([sys.executable, "-I", "-c", SERVE, *map(str, arguments)], check=True, cwd="/")
    expected = sparse_model.predict(inputs, verbose=0)
    np.testing.assert_allclose(np.load(tmp_path / "outputs.npy"), expected, rtol=1e-5, atol=1e-6)


def test_exported_kernels_are_exactly_sparse(sparse_model, exported):
    variables = tf.saved_model.load(str(exported[0])).variables
    kernels = [variable.numpy() for variable in variables if len(variable.shape) == 2]
    masks = list(kt.get_masks(sparse_model).values())
    assert [kernel.shape for kernel in kernels] == [mask.shape for mask in masks]
    for kernel, mask in zip(kernels, masks, strict=True):
        assert not kernel[~mask].any()


def test_plain_model_with_several_inputs(tmp_path):
    left, right = keras.Input((3,), name="left"), keras.Input((None,), dtype="int32", name="right")
    embedded = keras.layers.GlobalAveragePooling1D()(keras.layers.Embedding(2, 5)(right))
    joined = keras.layers.Concatenate()([keras.layers.Dense(4)(left), embedded])
    model = keras.Model({"left": left, "right": right}, [joined, keras.layers.Dense(2)(joined)])
    report = kt.export(model, tmp_path / "model")
    assert report.max_abs_difference < 1e-6


class Subclassed(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.hidden = keras.layers.Dense(40)
        self.head = keras.layers.Dense(5)

    def call(self, inputs):
        return self.head(self.hidden(inputs))


@pytest.mark.parametrize("format", ["tf_saved_model", "litert"])
@pytest.mark.parametrize("sparse", [False, True])
def test_subclassed_model(tmp_path, sparse, format):
    model = Subclassed()
    model(np.zeros((2, 5), "float32"))
    model = kt.sparsify(model, 0.5) if sparse else model
    report = kt.export(model, tmp_path / "model", format=format)
    assert list(report.latency_ms) == [1, 32]
    assert report.max_abs_difference < 1e-6


def test_fixed_batch_is_measured_at_that_batch(tmp_path):
    fixed = keras.Sequential([keras.Input(batch_shape=(4, 6)), keras.layers.Dense(2)])
    assert list(kt.export(fixed, tmp_path / "fixed").latency_ms) == [4]


def test_difference_is_that_of_the_written_model(tmp_path):
    model = dense_model()
    interface = Interface.of(model)
    saved_model.write(model, interface, tmp_path / "model")
    for added, far in ((1e-3, False), (50.0, True)):
        model.layers[-1].bias.assign_add([0.0, 0.0, added / 2, -added])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            trial = Trial(model, interface, "tf_saved_model", folder=tmp_path)
            measured = trial.measure(tmp_path / "model")
        assert measured.difference == pytest.approx(added, rel=1e-3)
        assert ("do not use it unseen" in measured.note) == far == bool(caught)


def test_empty_directory_is_used(tmp_path):
    (tmp_path / "model").mkdir()
    kt.export(dense_model(), tmp_path / "model")
    assert (tmp_path / "model" / "saved_model.pb").is_file()


def test_existing_files_are_refused_and_kept(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("precious")
    (tmp_path / "file").write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("full", "file", "link", "file/below"):
        for overwrite in (False, True):
            with pytest.raises(ValueError, match=f"path='.*{name}'"):
                kt.export(dense_model(), tmp_path / name, overwrite=overwrite)
    assert (tmp_path / "full" / "mine").read_text() == "precious"
    assert (tmp_path / "file").read_text() == "precious"
    assert sorted(os.listdir(tmp_path)) == ["file", "full", "link"]


def test_an_export_is_replaced_when_asked(sparse_model, tmp_path):
    path = tmp_path / "model"
    kt.export(dense_model(), path)
    before = (path / "saved_model.pb").read_bytes()
    with pytest.raises(ValueError, match="overwrite=True"):
        kt.export(sparse_model, path)
    assert (path / "saved_model.pb").read_bytes() == before
    report = kt.export(sparse_model, path, packed=True, overwrite=True)
    assert {file for file in path.rglob("*") if file.is_file()} == set(report.files)
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]
    artifact = tf.saved_model.load(str(path))
    served = artifact.serve(np.ones((2, 8), "float32"))
    np.testing.assert_allclose(served, sparse_model(np.ones((2, 8))), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("place", ["notes.txt", "variables/notes.txt", "assets.extra/notes.txt"])
def test_a_directory_with_anything_else_in_it_is_not_replaced(tmp_path, place):
    kt.export(dense_model(), tmp_path / "model")
    mine = tmp_path / "model" / place
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("precious")
    with pytest.raises(ValueError, match="'model' is not one, and is left as it is"):
        kt.export(dense_model(), tmp_path / "model", overwrite=True)
    (tmp_path / "link").symlink_to(tmp_path / "model")
    with pytest.raises(ValueError, match="path='.*link'"):
        kt.export(dense_model(), tmp_path / "link", overwrite=True)
    assert mine.read_text() == "precious"


@pytest.mark.parametrize("at_once", [True, False])
def test_a_failed_replacement_leaves_what_was_there(tmp_path, monkeypatch, at_once):
    path = tmp_path / "model"
    kt.export(dense_model(), path)
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    if not at_once:
        monkeypatch.setattr(atomic, "exchange_names", lambda a, b: False)

    def fail(self, target):
        raise OSError("disk on fire")

    monkeypatch.setattr(pathlib.Path, "replace", fail)
    if at_once:
        kt.export(dense_model(), path, overwrite=True)
    else:
        with pytest.raises(ValueError, match="`path` cannot be written: disk on fire"):
            kt.export(dense_model(), path, overwrite=True)
        assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file()} == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]


def test_failed_export_leaves_nothing(tmp_path, monkeypatch):
    def fail(archive, path, **kwargs):
        pathlib.Path(path).mkdir()
        (pathlib.Path(path) / "half").write_text("written")
        raise RuntimeError("disk on fire")

    monkeypatch.setattr(type(keras.export.ExportArchive()), "write_out", fail)
    with pytest.raises(ValueError, match="cannot be exported .*'tf_saved_model': .*disk on fire"):
        kt.export(dense_model(), tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "caffe"}, "'tf_saved_model', 'litert', 'onnx', 'openvino'.*format='caffe'"),
        ({"format": ["onnx"]}, r"must be one of .*format=\['onnx'\]"),
        ({"packed": 1}, "`packed` must be False or True.*packed=1"),
        ({"overwrite": "yes"}, "`overwrite` must be True or False"),
        ({"input_shape": (7,)}, r"^`input_shape` must be the shape of the input .*=\(7,\)$"),
        ({"format": "litert", "packed": True}, "must be False with format='litert'.*packed=True"),
        ({"format": "litert", "quantize": "int4"}, "must be None or 'int8'.*quantize='int4'"),
        ({"quantize": "int8"}, "quantize='int8'"),
        ({"format": "onnx", "quantize": "int8"}, "must be None with format='onnx'"),
        ({"format": "openvino"}, "must end in '.xml'.*path=.*model'"),
    ],
)
def test_options_not_available(tmp_path, options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        kt.export(dense_model(), tmp_path / "model", **options)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_built_model_is_refused(tmp_path):
    with pytest.raises(TypeError, match="of Keras 3.*builtins.dict"):
        kt.export({}, tmp_path / "model")
    with pytest.raises(ValueError, match="not built"):
        kt.export(keras.Sequential([keras.layers.Dense(2)]), tmp_path / "model")
    with pytest.raises(TypeError, match="`path` must be"):
        kt.export(dense_model(), 3)
    with pytest.raises(ValueError, match="must name what"):
        kt.export(dense_model(), "")
    with pytest.raises(ValueError, match="^`path` cannot be written: .*too long"):
        kt.export(dense_model(), tmp_path / ("n" * 300))


@pytest.mark.slow
def test_another_thread_may_train_the_model(tmp_path):
    x, y = np.ones((32, 8), "float32"), np.ones((32, 4), "float32")

    def trained(beside):
        keras.utils.set_random_seed(0)
        model = kt.sparsify(mlp(8, (16,), 4, norm=keras.layers.BatchNormalization), 0.5)
        model.compile(kt.optimizers.SET(keras.optimizers.SGD(0.1), update_every=2, end=20), "mse")
        run = [lambda: model.fit(x, y, epochs=20, shuffle=False, verbose=0), lambda: beside(model)]
        threads = [threading.Thread(target=function) for function in run]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return [variable.numpy() for variable in model.variables + model.optimizer.variables]

    alone = trained(lambda model: None)
    beside = trained(lambda model: kt.export(model, tmp_path / "m"))
    assert all(np.array_equal(a, b) for a, b in zip(alone, beside, strict=True))


def test_gzip_size_counts_every_chunk(tmp_path, monkeypatch):
    monkeypatch.setattr(report_lib, "CHUNK", 1000)
    noise, zeros = tmp_path / "noise", tmp_path / "zeros"
    noise.write_bytes(np.random.default_rng(0).bytes(10_500))
    zeros.write_bytes(bytes(100_000))
    assert 10_500 < report_lib.gzip_size([noise]) < 10_700
    assert report_lib.gzip_size([zeros]) < 300
    assert report_lib.gzip_size(pathlib.Path(tmp_path).iterdir()) < 11_000
