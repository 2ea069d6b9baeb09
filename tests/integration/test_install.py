"""The package installs from its sources into a new environment, and works there."""

import os
import pathlib
import shutil
import subprocess
import venv

import pytest

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


@pytest.mark.slow
def test_install_use_and_uninstall(tmp_path):
    venv.create(tmp_path / "venv", with_pip=True)
    commands = tmp_path / "venv" / "bin"
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment.pop("PYTHONPATH", None)

    def run(*arguments):
        result = subprocess.run(
            [str(commands / arguments[0]), *map(str, arguments[1:])],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    sources = tmp_path / "sources"
    sources.mkdir()
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, sources)
    shutil.copytree(ROOT / "keras_tickets", sources / "keras_tickets")
    run("python", "-m", "pip", "install", "--quiet", sources)
    run("python", "-c", MAKE_A_SAVED_MODEL, tmp_path)
    table = run("keras-tickets", "plan", f"--gin_file={ROOT / 'gin_configs/digits/rigl.gin'}")
    assert "kernel" in table
    run("python", "-m", "pip", "uninstall", "--quiet", "--yes", "keras-tickets")
    run("python", "-c", SERVE_IT, tmp_path)
