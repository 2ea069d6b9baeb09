"""A type checker sees the types of the package in a user's script."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
SCRIPT = """\
import keras
import numpy as np
import keras_tickets as kt

layers = [keras.Input((16,)), keras.layers.Dense(32), keras.layers.Dense(4)]
model = kt.sparsify(keras.Sequential(layers), 0.9, distribution="erk", mask="random")
inner = keras.optimizers.SGD(0.1)
model.compile(kt.optimizers.RigL(inner, update_every=10, end=0.75, drop_fraction=0.3), loss="mse")
model.fit(np.zeros((8, 16)), np.zeros((8, 4)))
reveal_type(kt.get_masks(model))
reveal_type(kt.plan(model, 0.5).sparsity)
reveal_type(kt.strip(model))
"""
MISTAKES = """\
import keras
import keras_tickets as kt

inner = keras.optimizers.SGD(0.1)
kt.optimizers.RigL(inner, updat_every=10)
kt.optimizers.SET(inner, updat_every=10)
kt.optimizers.RigL(inner, update_every="often")
kt.sparsify(keras.Model(), sparsity="most")
kt.sparsify(keras.Model(), 0.9, masks="ones")
kt.models.lenet_300_100((16,), classes="ten")
kt.export(keras.Model(), "path", fromat="onnx")
kt.plan(keras.Model(), 0.5).sparsty
"""


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    """What the type checker says of the two scripts: `{file: [line of its report, …]}`."""
    pytest.importorskip("mypy")
    folder = tmp_path_factory.mktemp("user")
    (folder / "script.py").write_text(SCRIPT, encoding="utf-8")
    (folder / "mistakes.py").write_text(MISTAKES, encoding="utf-8")
    options = ["--ignore-missing-imports", "--follow-imports=silent", "--no-error-summary"]
    result = subprocess.run(
        [sys.executable, "-m", "mypy", *options, "script.py", "mistakes.py"],
        cwd=folder,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert not result.stderr, result.stderr
    lines = result.stdout.splitlines()
    return {
        name: [line for line in lines if line.startswith(name)]
        for name in ("script.py", "mistakes.py")
    }


def test_the_package_says_that_it_has_types():
    assert (ROOT / "keras_tickets" / "py.typed").is_file()


def test_a_script_that_is_right_has_no_errors_and_types(checked):
    assert [line for line in checked["script.py"] if "error:" in line] == []
    revealed = [line.partition("Revealed type is ")[2] for line in checked["script.py"]]
    masks, sparsity, plain = [line.replace("builtins.", "") for line in revealed]
    assert masks.startswith('"dict[str, numpy.ndarray[')
    assert sparsity == '"float"'
    assert "Any" in plain  # Keras has no types


def test_each_mistake_is_found(checked):
    wrong = {
        number for number, line in enumerate(MISTAKES.splitlines(), 1) if line.startswith("kt.")
    }
    found = {int(line.split(":")[1]) for line in checked["mistakes.py"] if "error:" in line}
    assert found == wrong
    assert any('"updat_every"' in line for line in checked["mistakes.py"])
