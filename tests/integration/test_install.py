"""The wheel, in new environments and an empty folder."""

import json
import os
import pathlib
import subprocess
import sys
import sysconfig
import venv

import pytest
from guide import LEARNED, commands

ROOT = pathlib.Path(__file__).parents[2]
MAKE_A_SAVED_MODEL = """
import sys, keras, keras_tickets as kt, numpy as np
assert "site-packages" in kt.__file__, kt.__file__
model = kt.sparsify(keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)]), 0.5)
kt.export(model, sys.argv[1] + "/saved_model")
np.save(sys.argv[1] + "/expected.npy", model.predict(np.ones((1, 8)), verbose=0))
"""
SERVE_IT = """
import importlib.util, sys, numpy as np, tensorflow as tf
assert importlib.util.find_spec("keras_tickets") is None
artifact = tf.saved_model.load(sys.argv[1] + "/saved_model")
served = artifact.serve(np.ones((1, 8), "float32"))
np.testing.assert_allclose(served, np.load(sys.argv[1] + "/expected.npy"), rtol=1e-5)
"""
WITHOUT_THE_REST = """
import importlib.util, numpy as np, keras, keras_tickets as kt
for name in ("tensorflow_model_optimization", "tf_keras", "tensorflow_datasets", "sklearn", "gin"):
    assert importlib.util.find_spec(name) is None, name
x, y = np.random.default_rng(0).normal(size=(64, 8)).astype("float32"), np.arange(64) % 3
dense = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16, "relu"), keras.layers.Dense(3)])
model = kt.sparsify(dense, sparsity=0.5)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(kt.optimizers.RigL(keras.optimizers.SGD(0.1), update_every=2, end=6), loss)
model.fit(x, y, batch_size=16, epochs=2, verbose=0)
model.save("m.keras")
kt.strip(keras.models.load_model("m.keras")).save("plain.keras")
kt.export(model, "m.tflite", format="litert")
try:
    kt.data.load("digits")
except ImportError as error:
    assert "pip install scikit-learn" in str(error)
else:
    raise AssertionError
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy of the sources without what else lies around."""
    sources, built = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("wheel")
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.check_output(listed, cwd=ROOT, text=True).splitlines():
        if (ROOT / name).is_file():
            (sources / name).parent.mkdir(parents=True, exist_ok=True)
            (sources / name).write_bytes((ROOT / name).read_bytes())
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", f"--wheel-dir={built}"]
    subprocess.run([*pip, str(sources)], check=True)
    (file,) = built.glob("*.whl")
    return file


@pytest.fixture
def new_environment(tmp_path):
    """Runs a program of a new virtual environment in an empty folder, and returns its output."""
    venv.create(tmp_path / "venv", with_pip=True)
    folder = tmp_path / "empty"
    folder.mkdir()
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    environment.pop("PYTHONPATH", None)

    def run(program, *arguments):
        result = subprocess.run(
            [str(tmp_path / "venv" / "bin" / program), *map(str, arguments)],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    run.folder = folder
    return run


def share_packages(run):
    """Adds the packages of this process's environment to a new one."""
    site = run("python", "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])").strip()
    (pathlib.Path(site) / "shared.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")


def test_commands_of_the_wheel_work_in_an_empty_folder(wheel, new_environment):
    run = new_environment
    run("pip", "install", "--quiet", "--no-deps", wheel)
    share_packages(run)
    assert "digits/rigl.gin" in run("keras-tickets", "configs")
    assert "--gin_file" in run("keras-tickets", "train", "--help")
    assert "kernel" in run("keras-tickets", "plan", "--gin_file=digits/rigl.gin")
    run("keras-tickets", "train", "--gin_file=digits/rigl.gin", "--workdir=run")
    summary = json.loads((run.folder / "run" / "summary.json").read_text())
    assert summary["sparsity"] == pytest.approx(0.9, abs=1e-3) and summary["test_accuracy"] > 0.9
    model = "--model=run/model.keras"
    run("python", "-m", "keras_tickets", "export", model, "--output=m.tflite", "--format=litert")
    assert (run.folder / "m.tflite").is_file()


STUDY = """
gin_param = ["train.epochs=1", "train.steps_per_epoch=2"]
seeds = [0, 1]
[grid]
gin_file = ["digits/set.gin", "digits/rigl.gin"]
"""


def test_the_guide_and_a_sweep_with_the_wheel_in_an_empty_folder(wheel, new_environment):
    run = new_environment
    run("pip", "install", "--quiet", "--no-deps", wheel)
    share_packages(run)
    for title in LEARNED:
        for program, *arguments in commands(title, run.folder):
            run(program, *arguments)
    (run.folder / "study.toml").write_text(STUDY)
    run("keras-tickets", "sweep", "--sweep_file=study.toml", "--workdir=runs/a study", "--jobs=1")
    assert run("keras-tickets", "list", "runs").splitlines()[-1] == "8 finished"
    assert run("keras-tickets", "report", "runs/a study", "--format=csv").count("\n") == 3
    assert "8 runs in 5 settings" in run("keras-tickets", "report", "runs")


def test_what_is_not_needed_may_be_absent(wheel, new_environment):
    run = new_environment
    run("pip", "install", "--quiet", "--no-deps", wheel)
    run("pip", "install", "--quiet", "tensorflow>=2.20,<3")
    run("python", "-c", WITHOUT_THE_REST)
    run("keras-tickets", "export", "--model=m.keras", "--output=served")
    assert (run.folder / "served" / "saved_model.pb").is_file()


def test_install_use_and_uninstall(wheel, new_environment):
    run = new_environment
    run("pip", "install", "--quiet", wheel)
    run("python", "-c", MAKE_A_SAVED_MODEL, run.folder)
    assert "kernel" in run("keras-tickets", "plan", "--gin_file=digits/rigl.gin")
    run("pip", "uninstall", "--quiet", "--yes", "keras-tickets")
    run("python", "-c", SERVE_IT, run.folder)
