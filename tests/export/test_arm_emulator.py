"""On an emulated ARM processor: what is said to run sparse does, nothing else, and all is right.

`tools/arm_emulator.sh` makes such a Python. Emulated times say nothing of a phone's, but sparse
kernels do a small part of the work of dense ones.
"""

import functools
import json
import os
import pathlib
import re
import shutil
import subprocess

import convolutional_networks as networks
import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from keras import layers

import keras_tickets as kt

VARIABLE = "KERAS_TICKETS_ARM_PYTHON"
PROGRAM = pathlib.Path(__file__).parent / "arm_program.py"
PYTHON = os.environ.get(VARIABLE, "")
LIBRARY = pathlib.Path(PYTHON).parent / "site/ai_edge_litert/libpywrap_litert_common.so"
FUNCTION = "create_spmm_path"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not shutil.which(PYTHON),
        reason=f"{VARIABLE} names no emulated ARM Python: tools/arm_emulator.sh makes one",
    ),
]


@functools.cache
def address():
    """Where the function is that XNNPACK calls for each convolution that it makes sparse."""
    symbols = subprocess.run(["nm", LIBRARY], capture_output=True, text=True, check=True).stdout
    found = [line.split()[0] for line in symbols.splitlines() if line.endswith(f" {FUNCTION}")]
    return found[0] if found else pytest.skip(f"{LIBRARY} has no symbol {FUNCTION}")


def emulated(*paths):
    """What each file computes, how long it takes, and how many of its convolutions are sparse."""
    command = [PYTHON, PROGRAM, address(), *paths]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def computed_here(path):
    """The outputs of a file on this processor."""
    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    (image,) = interpreter.get_input_details()
    values = np.linspace(-1, 1, int(np.prod(image["shape"])), dtype="float32")
    interpreter.set_tensor(image["index"], values.reshape(image["shape"]))
    interpreter.invoke()
    return [interpreter.get_tensor(each["index"]) for each in interpreter.get_output_details()]


def said(model, report):
    """How many 1x1 convolutions are said to run sparse."""
    names = {each.name for each in model.layers if getattr(each, "kernel_size", 0) == (1, 1)}
    sparse = [each for each in report.on_arm if each.sparse and each.kind == "CONV_2D"]
    return sum(re.sub(r"_\d+$", "", each.name) in names for each in sparse)


def exported(model, path, sparsity=0.9, quantize=None):
    """The report on a file of a model with random biases, so that no output is 0."""
    rng = np.random.default_rng(0)
    for weight in model.trainable_weights:
        if weight.name == "bias":
            weight.assign(rng.normal(size=weight.shape, scale=0.1))
    sparse = kt.sparsify(model, sparsity, distribution="uniform")
    return kt.export(sparse, path, format="litert", quantize=quantize)


def check(paths, counts):
    """Checks that as many convolutions run sparse, and that all outputs are those from here."""
    results = emulated(*paths)
    for path, count, result in zip(paths, counts, results, strict=True):
        assert "error" not in result, (path.name, result)
        assert result["sparse"] == count, path.name
        for output, expected in zip(result["outputs"], computed_here(path), strict=True):
            scale = np.abs(expected).max()
            np.testing.assert_allclose(output, expected, atol=1e-4 * scale, err_msg=path.name)
    return results


@pytest.mark.parametrize("name", ["mobilenet_v1", "mobilenet_v2"])
def test_all_1x1_convolutions_of_a_mobilenet_run_sparse(tmp_path, name):
    model = getattr(kt.models, name)((32, 32, 3), 10, width=0.25, seed=0)
    paths = [tmp_path / name for name in ("half", "sparse", "int8")]
    reports = [
        exported(model, paths[0], 0.5),
        exported(model, paths[1], 0.95),
        exported(model, paths[2], 0.95, quantize="int8"),
    ]
    pointwise = sum(getattr(each, "kernel_size", 0) == (1, 1) for each in model.layers)
    counts = [said(model, report) for report in reports]
    assert counts == [0, pointwise, 0]
    half, sparse, _ = check(paths, counts)
    assert half["seconds"] > 1.1 * sparse["seconds"]


NETWORKS = {
    "conforming": (networks.conforming, 2),
    "squeeze_and_excite": (networks.squeeze_and_excite, 3),
    "classified_by_convolution": (networks.classified_by_convolution, 0),
    "kept_axes": (networks.kept_axes, 0),
    "flattened": (networks.flattened, 0),
    "two_heads": (networks.two_heads, 0),
    "returned": (networks.returned, 0),
    "concatenated": (networks.concatenated, 0),
    "mean_over_height": (networks.mean_over_height, 0),
    "pooled": (lambda: networks.between(layers.MaxPooling2D(2)), 0),
    "square": (lambda: networks.between(layers.Conv2D(8, 3, padding="same")), 0),
    "grouped": (lambda: networks.between(layers.Conv2D(64, 1, groups=4)), 0),
    "resized": (lambda: networks.between(layers.UpSampling2D(interpolation="bilinear")), 2),
    "depth_to_space": (lambda: networks.between(networks.DepthToSpace()), 1),
}


def test_networks_compute_the_same_there_whatever_runs_sparse(tmp_path):
    paths = [tmp_path / name for name in NETWORKS]
    for path, (make, count) in zip(paths, NETWORKS.values(), strict=True):
        keras.utils.set_random_seed(0)
        model = make()
        assert said(model, exported(model, path)) == count, path.name
    check(paths, [count for _, count in NETWORKS.values()])
