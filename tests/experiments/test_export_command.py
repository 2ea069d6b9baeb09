"""`keras-tickets export`: what it prints and writes, and how it refuses."""

import importlib.util
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from networks import mlp

import keras_tickets as kt
from keras_tickets.experiments import cli
from keras_tickets.experiments.commands import export as export_command

ROOT = pathlib.Path(__file__).parents[2]


def sparse_model():
    return kt.sparsify(mlp(32, (300,), 10), 0.9)


@pytest.fixture
def saved(tmp_path):
    sparse_model().save(tmp_path / "model.keras")
    return tmp_path / "model.keras"


def fail(capsys, *arguments):
    """Runs an export that must fail, and returns its one line on stderr."""
    assert cli.main(["export", *arguments]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("keras-tickets: ")
    return line


def test_exports_and_prints_the_report(saved, tmp_path, capsys):
    output = tmp_path / "served"
    assert cli.main(["export", f"--model={saved}", f"--output={output}", "--packed"]) == 0
    printed = capsys.readouterr().out
    size = sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
    for words in (f"{size:,} bytes", "largest output difference", "batch 32", "values and one bit"):
        assert words in printed
    assert str(output / "saved_model.pb") in printed.splitlines()
    inputs = np.ones((2, 32), "float32")
    artifact = tf.saved_model.load(str(output))
    expected = keras.models.load_model(saved)(inputs)
    np.testing.assert_allclose(artifact.serve(inputs), expected, rtol=1e-5, atol=1e-6)


def test_an_export_is_replaced_only_with_the_flag(saved, tmp_path, capsys):
    arguments = [f"--model={saved}", f"--output={tmp_path / 'served'}"]
    assert cli.main(["export", *arguments]) == 0
    capsys.readouterr()
    assert "exists already" in fail(capsys, *arguments)
    assert cli.main(["export", *arguments, "--packed", "--overwrite"]) == 0
    assert "lie on disk as" in " ".join(capsys.readouterr().out.split())


def test_int8_in_a_file_that_gets_its_suffix(saved, tmp_path, capsys):
    arguments = ["--format=litert", "--quantize=int8", f"--output={tmp_path / 'm'}"]
    assert cli.main(["export", f"--model={saved}", *arguments]) == 0
    assert "kernels are int8" in capsys.readouterr().out
    assert (tmp_path / "m.tflite").is_file() and not (tmp_path / "m").exists()


@pytest.mark.slow
def test_calibration_data(saved, tmp_path, capsys):
    name = keras.models.load_model(saved).inputs[0].name
    np.savez(tmp_path / "data.npz", **{name: np.random.default_rng(0).normal(size=(9, 32))})
    arguments = ["--format=litert", "--quantize=int8", f"--calibration={tmp_path / 'data.npz'}"]
    arguments += [f"--model={saved}", f"--output={tmp_path / 'm.tflite'}"]
    assert cli.main(["export", *arguments]) == 0
    assert "that are those of 9 examples" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    "output, format, path",
    [
        ("o", "onnx", "o.onnx"),
        ("o", "openvino", "o.xml"),
        ("o.bin", "onnx", "o.bin"),
        ("o", "tf_saved_model", "o"),
        ("o", "unknown", "o"),
        (".", "onnx", "."),
    ],
)
def test_the_suffix_of_the_format(output, format, path):
    assert export_command._with_suffix(output, format) == pathlib.Path(path)


def test_sparse_kernels(saved, tmp_path, capsys):
    arguments = ["--format=litert", "--kernels=auto", "--target=arm64", "--batch_size=32"]
    output = tmp_path / "m.tflite"
    assert cli.main(["export", f"--model={saved}", f"--output={output}", *arguments]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "No kernel has the zeros that the table for target='arm64' asks for." in printed


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--output=new"], "--model is missing"),
        (["--model={model}"], "--output is missing"),
        (["--model=none.keras", "--output=new"], "model file 'none.keras' does not exist"),
        (["--model={model}", "--output=old"], "'old' exists already"),
        (["--model={model}", "--output=new", "--format=caffe"], "`format` must be one of"),
        (["--model={model}", "--output=new", "--quantize=int8"], "must be None"),
        (["--model={model}", "--output=new", "--kernels=sparse"], "`kernels` must be 'packed'"),
        (["--model={model}", "--output=new", "--formt=onnx"], "formt"),
        (
            ["--model={model}", "--output=new", "--calibration=none.npz"],
            "calibration file 'none.npz' does not exist",
        ),
        (
            ["--model={model}", "--output=new", "--calibration=old"],
            "calibration file 'old' cannot be read: it must be an .npz file",
        ),
        (
            ["--model={model}", "--output=new", "--calibration=data.npz"],
            "`calibration` must be None unless format='litert' and quantize='int8'",
        ),
        (
            [
                "--model={model}",
                "--output=new",
                "--format=litert",
                "--quantize=int8",
                "--calibration=data.npz",
            ],
            "batch first (",
        ),
        (["--model={model}", "--output=/proc/no/such"], "`path` cannot be written"),
        (
            ["--model=damaged.keras", "--output=new"],
            "'damaged.keras' cannot be loaded: it is no Keras file",
        ),
        (["--model=flipped.keras", "--output=new"], "'flipped.keras' cannot be loaded: "),
        (
            ["--model=text.keras", "--output=new"],
            "'text.keras' cannot be loaded: it is no Keras file",
        ),
    ],
)
def test_bad_input_is_one_line_and_changes_nothing(
    arguments, message, saved, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    pathlib.Path("old").write_text("precious")
    content = saved.read_bytes()
    pathlib.Path("damaged.keras").write_bytes(content[: len(content) // 2])
    middle = len(content) // 2
    flipped = content[:middle] + bytes(255 - b for b in content[middle : middle + 200])
    pathlib.Path("flipped.keras").write_bytes(flipped + content[middle + 200 :])
    pathlib.Path("text.keras").write_text("not a model")
    np.savez("data.npz", image=np.ones((3, 32), "float32"))
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert message in fail(capsys, *(a.format(model=saved) for a in arguments))
    assert before == {path: path.read_bytes() for path in tmp_path.iterdir()}


def test_a_class_that_is_not_registered_is_named(tmp_path, capsys):
    class Unregistered(keras.layers.Layer):
        def call(self, x):
            return x

    model = keras.Sequential([keras.Input((3,)), Unregistered(), keras.layers.Dense(2)])
    model.save(tmp_path / "m.keras")
    line = fail(capsys, f"--model={tmp_path / 'm.keras'}", f"--output={tmp_path / 'new'}")
    assert "Unregistered" in line and "register_keras_serializable" in line and len(line) < 600
    assert [path.name for path in tmp_path.iterdir()] == ["m.keras"]


LIMITED = """
import resource, sys
from keras_tickets.experiments import cli
model, folder, *formats = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000))
for name in formats:
    code = cli.main(["export", f"--model={model}", f"--output={folder}/m.xml", f"--format={name}"])
    print(name, code)
"""
FORMATS = {"tf_saved_model": "keras", "litert": "keras", "onnx": "tf2onnx", "openvino": "openvino"}


@pytest.mark.slow
def test_a_disk_that_is_full_is_one_line_and_leaves_nothing(saved, tmp_path):
    """Files cannot grow beyond a limit: each format fails while it writes."""
    formats = [name for name, package in FORMATS.items() if importlib.util.find_spec(package)]
    result = subprocess.run(
        [sys.executable, "-c", LIMITED, str(saved), str(tmp_path / "new"), *formats],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
    )
    assert result.stdout.splitlines() == [f"{name} 1" for name in formats], result.stderr
    lines = [x for x in result.stderr.splitlines() if x.startswith("keras-tickets: ")]
    assert len(lines) == len(formats) and "Traceback" not in result.stderr
    assert all("cannot be written" in x or "cannot be exported" in x for x in lines)
    assert not list((tmp_path / "new").iterdir())
