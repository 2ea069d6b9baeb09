"""How the command starts: help without TensorFlow, interrupts, and packages that are missing."""

import os
import pathlib
import subprocess
import sys

import pytest

import keras_tickets as kt
from keras_tickets.experiments import cli

ROOT = pathlib.Path(__file__).parents[2]
ABSENT = ("tensorflow_model_optimization", "tf_keras", "tensorflow_datasets", "sklearn", "gin")
HEAVY = ("tensorflow", "keras", *ABSENT)
BLOCK = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Block())
"""
AS_CONSOLE_SCRIPT = """
import sys
sys.argv[0] = "/somewhere/bin/keras-tickets"
from keras_tickets.experiments.cli import main
sys.exit(main())
"""
AS_MODULE = """
import runpy, sys
sys.orig_argv = ["python", "-m", "keras_tickets", *sys.argv[1:]]
sys.argv[0] = "-m"
runpy.run_module("keras_tickets", run_name="__main__", alter_sys=True)
"""
USE_IT = """
import keras, numpy as np
import keras_tickets as kt
x, y = np.random.default_rng(0).normal(size=(64, 8)).astype("float32"), np.arange(64) % 3
dense = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16, "relu"), keras.layers.Dense(3)])
model = kt.sparsify(dense, sparsity=0.5)
model.compile(kt.optimizers.RigL(keras.optimizers.SGD(0.1), update_every=2, end=6),
              keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
model.fit(x, y, batch_size=16, epochs=2, verbose=0)
print(kt.summary(model))
model.save("m.keras")
again = keras.models.load_model("m.keras")
assert np.allclose(kt.strip(again).predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-6)
from keras_tickets.export import measure
measure.MAX_SECONDS = 0.0
print(kt.export(model, "m.tflite", format="litert"))
from keras_tickets.experiments import cli
assert cli.main(["export", "--model=m.keras", "--output=served"]) == 0
assert cli.main(["configs"]) == 0
assert cli.main(["train", "--gin_file=digits/rigl.gin", "--workdir=run"]) == 1
for load in (lambda: kt.data.load("digits"), lambda: kt.data.load("mnist"),
             lambda: kt.interop.from_tfmot("m.keras")):
    try:
        load()
    except ImportError as error:
        print("MISSING", error)
"""


def python(code, *arguments, cwd=None, env=None):
    paths = os.pathsep.join([str(ROOT), *sys.path])
    # tensorflow-model-optimization sets it, in whichever test of this process imports it.
    inherited = {name: os.environ[name] for name in os.environ if name != "TF_USE_LEGACY_KERAS"}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**inherited, "PYTHONPATH": paths, **(env or {})},
        cwd=cwd,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("start", [AS_CONSOLE_SCRIPT, AS_MODULE], ids=["console", "module"])
@pytest.mark.parametrize("arguments", ["--help", "--version", "train --help", "configs"])
def test_help_needs_neither_tensorflow_nor_gin(start, arguments):
    result = python(BLOCK.format(blocked=HEAVY) + start, *arguments.split())
    assert result.returncode == 0, result.stderr
    assert result.stdout and not result.stderr


@pytest.mark.slow
def test_everything_is_there_once_a_command_runs(tmp_path):
    """A module that a configuration imports finds the whole package; warnings are one line."""
    (tmp_path / "mine.py").write_text("import keras_tickets as kt\nprint(kt.sparsify, kt.models)\n")
    (tmp_path / "mine.gin").write_text(
        'import mine\ninclude "digits/rigl.gin"\ntrain.epochs = 1\nCosineDecay.decay_steps = 1320\n'
    )
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{AS_CONSOLE_SCRIPT}"
    result = python(code, "train", "--gin_file=mine.gin", "--workdir=run", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "function sparsify" in result.stdout and "sparsity 0.9000" in result.stdout
    assert "keras-tickets: warning: The learning rate schedule CosineDecay ends" in result.stderr
    assert "UserWarning" not in result.stderr


def test_an_interrupt_during_the_import_is_one_line(tmp_path):
    (tmp_path / "tensorflow.py").write_text("raise KeyboardInterrupt\n")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{AS_CONSOLE_SCRIPT}"
    result = python(code, "train", "--gin_file=digits/rigl.gin", "--workdir=run", cwd=tmp_path)
    assert result.returncode == 130
    assert result.stderr == "keras-tickets: interrupted; the same command resumes\n"


def test_a_request_to_end_is_one_line(tmp_path):
    (tmp_path / "tensorflow.py").write_text("import os\nos.kill(os.getpid(), 15)\n")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{AS_CONSOLE_SCRIPT}"
    result = python(code, "train", "--gin_file=digits/rigl.gin", "--workdir=run", cwd=tmp_path)
    assert result.returncode == 143
    assert result.stderr == "keras-tickets: ended; the same command resumes\n"


def test_each_part_works_without_what_the_others_need(tmp_path):
    result = python(BLOCK.format(blocked=ABSENT) + USE_IT, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "m.tflite").is_file() and (tmp_path / "served").is_dir()
    missing = [line for line in result.stdout.splitlines() if line.startswith("MISSING")]
    packages = ("scikit-learn", "tensorflow-datasets", "tf-keras")
    for line, package in zip(missing, packages, strict=True):
        assert line.endswith(f"which is not installed: pip install {package}")
    assert "Configurations need gin-config, which is not installed: pip install" in result.stderr
    assert "Traceback" not in result.stderr


def test_help_lists_every_flag_with_its_meaning_and_default(capsys):
    assert cli.main(["--help"]) == 0
    out = capsys.readouterr().out
    for name, command in cli.COMMANDS.items():
        assert f"keras-tickets {name}" in out and command.summary in out
    assert cli.main(["export", "--help"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    for words in ("--model=MODEL", "--output=", "--format=", "Default: tf_saved_model.", "int8"):
        assert words in out
    assert "--packed Non-zero" in out and "Default: false." in out and "--gin_file" not in out
    assert cli.main(["train", "-h"]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    for words in ("--gin_file=FILE", "--workdir=WORKDIR", "trust it like a program"):
        assert words in " ".join(out.split())


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"keras-tickets {kt.__version__}\n"


def test_no_command_is_an_error(capsys):
    assert cli.main([]) == 1
    assert "keras-tickets train" in capsys.readouterr().out


def test_a_traceback_on_demand():
    with pytest.raises(FileNotFoundError):
        cli.main(["plan", "--gin_file=nowhere.gin", "--traceback"])
