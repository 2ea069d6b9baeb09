"""On an emulated ARM processor: files that are said to run sparse do, and others do not.

Emulated times say nothing of a phone's, but the sparse kernels do a small part of the work of the
dense ones, so the factor shows which ran. `tools/arm_emulator.sh` makes such a Python.
"""

import json
import os
import pathlib
import shutil
import subprocess

import keras
import pytest
from keras import layers

import keras_tickets as kt

VARIABLE = "KERAS_TICKETS_ARM_PYTHON"
PROGRAM = pathlib.Path(__file__).parent / "arm_timing.py"
PYTHON = os.environ.get(VARIABLE, "")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not shutil.which(PYTHON),
        reason=f"{VARIABLE} names no emulated ARM Python: tools/arm_emulator.sh makes one",
    ),
]


def run(*paths):
    """CPU seconds and first output of each file."""
    command = [PYTHON, str(PROGRAM), *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def mobilenet(same=False):
    """A network of mostly 1x1 convolutions."""
    model = kt.models.mobilenet_v1((64, 64, 3), 10, width=0.5, seed=0)
    if not same:
        return model

    def padded(layer):
        config = layer.get_config()
        if layer.name.endswith("_pad"):
            return layers.Identity(name=layer.name)
        if getattr(layer, "padding", None) == "valid":
            config["padding"] = "same"
        return type(layer).from_config(config)

    other = keras.models.clone_model(model, clone_function=padded)
    other.set_weights(model.get_weights())
    return other


@pytest.mark.parametrize("quantize", [None, "int8"])
def test_sparse_kernels_run_where_the_report_says_so(tmp_path, quantize):
    model, broken = mobilenet(), mobilenet(same=True)
    files, reports = {}, {}
    for name, network, sparsity in (
        ("dense", model, 0.5),
        ("sparse", model, 0.95),
        ("broken_dense", broken, 0.5),
        ("broken", broken, 0.95),
    ):
        files[name] = tmp_path / f"{name}.tflite"
        sparse = kt.sparsify(network, sparsity, distribution="uniform")
        reports[name] = kt.export(sparse, files[name], format="litert", quantize=quantize)
    said = {
        name: any(each.sparse and each.kind == "CONV_2D" for each in report.on_arm)
        for name, report in reports.items()
    }
    conforms = quantize is None  # XNNPACK takes int8 kernels for dense
    assert said == {"dense": False, "sparse": conforms, "broken_dense": False, "broken": False}
    dense, sparse, broken_dense, broken = run(*files.values())
    factor = dense["seconds"] / sparse["seconds"]
    assert factor > 2 if conforms else 0.75 < factor < 1.33
    assert 0.75 < broken_dense["seconds"] / broken["seconds"] < 1.33
