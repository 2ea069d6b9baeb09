"""What cannot be converted from tensorflow-model-optimization is refused by name."""

import os
import subprocess
import sys

import keras
import pytest
import tensorflow as tf

import keras_tickets as kt

k2 = pytest.importorskip("tf_keras")
layers = k2.layers


@pytest.mark.parametrize(
    "layer",
    [
        layers.Dense(3, "hard_sigmoid", name="bad"),
        layers.Lambda(lambda x: x, name="bad"),
        layers.ThresholdedReLU(name="bad"),
        layers.LSTM(3, time_major=True, name="bad"),
        layers.Bidirectional(layers.LSTM(3, recurrent_activation="hard_sigmoid"), name="bad"),
        layers.LocallyConnected1D(3, 2, name="bad"),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_what_cannot_be_translated_is_named(layer):
    legacy = k2.Sequential([k2.Input((5, 4)), layer])
    with pytest.raises(ValueError, match=rf"layer 'bad' \({type(layer).__name__}\)"):
        kt.interop.from_tfmot(legacy)


def test_operations_that_are_not_known_are_named():
    inputs = k2.Input((4,))
    with pytest.raises(ValueError, match=r"'tf.math.erf' \(TFOpLambda\).*'math.erf'"):
        kt.interop.from_tfmot(k2.Model(inputs, tf.math.erf(inputs)))


class Subclassed(k2.Model):
    def call(self, inputs):
        return inputs


def test_wrong_arguments(tmp_path):
    with pytest.raises(TypeError, match="a Keras 3 model needs no conversion"):
        kt.interop.from_tfmot(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]))
    with pytest.raises(TypeError, match="builtins.int"):
        kt.interop.from_tfmot(3)
    with pytest.raises(ValueError, match=r"subclassed.*Only functional and Sequential"):
        kt.interop.from_tfmot(Subclassed())
    with pytest.raises(ValueError, match="not built"):
        kt.interop.from_tfmot(k2.Sequential([layers.Dense(2)]))
    with pytest.raises(ValueError, match="there is no file .*missing.h5"):
        kt.interop.from_tfmot(tmp_path / "missing.h5")


def test_files_are_read_without_running_their_code(tmp_path):
    pytest.importorskip("tensorflow_model_optimization")
    marker = str(tmp_path / "marker")
    make = lambda x, path=marker: [__import__("os").makedirs(path, exist_ok=True), x][1]  # noqa: E731
    legacy = k2.Sequential([k2.Input((4,)), layers.Lambda(make)])
    expected = {"bad.keras": "cannot be read", "bad.h5": "cannot be read", "bad": "cannot be read"}
    (tmp_path / "bad.keras").write_bytes(b"no model")
    (tmp_path / "bad.h5").write_bytes(b"no model")
    (tmp_path / "bad").mkdir()
    for name in ("lambda.keras", "lambda.h5", "lambda"):
        legacy.save(tmp_path / name)
        expected[name] = "Lambda"
    os.rmdir(marker)
    command = [sys.executable, "-c", READ, str(tmp_path), *expected]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr[-3000:]
    messages = dict(line.split(" ", 1) for line in result.stdout.splitlines())
    for name, message in expected.items():
        assert message in messages[name]
    assert not os.path.exists(marker)


READ = """
import sys
import keras_tickets as kt

for name in sys.argv[2:]:
    try:
        kt.interop.from_tfmot(f"{sys.argv[1]}/{name}")
    except ValueError as error:
        print(name, " ".join(str(error).split()))
"""
