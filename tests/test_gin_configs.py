"""Every configuration in gin_configs trains for two steps."""

import json
import pathlib

import numpy as np
import pytest

from keras_tickets import cli, data
from keras_tickets.data import published

CONFIGS = pathlib.Path(__file__).parents[1] / "gin_configs"
FILES = sorted(path for path in CONFIGS.glob("*/*.gin") if path.stem != "base")


@pytest.fixture
def made_up_images(monkeypatch):
    """Random images in place of the data sets that would have to be downloaded."""

    def load(name, data_dir=None):
        shape, rng = data.describe(name).input_shape, np.random.default_rng(0)
        images = rng.integers(0, 256, (300, *shape), dtype="uint8")
        labels = rng.integers(0, 10, 300, dtype="int32")
        labels[:10] = range(10)
        return (images, labels), (images[:50], labels[:50])

    monkeypatch.setattr(published, "load", load)


def test_the_configurations_are_there():
    names = {str(path.relative_to(CONFIGS)) for path in FILES}
    for dataset in ("digits", "mnist", "cifar10"):
        assert {f"{dataset}/{m}.gin" for m in ("dense", "static", "set", "rigl")} <= names


@pytest.mark.parametrize("file", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_two_steps(file, made_up_images, tmp_path, capsys):
    arguments = ["train", f"--gin_file={file}", f"--workdir={tmp_path / 'run'}"]
    arguments += ["--gin_param=train.epochs=1", "--gin_param=train.steps_per_epoch=2"]
    assert cli.main(arguments) == 0, capsys.readouterr().err
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["steps"] == 2
    assert (summary["dataset"], summary["method"]) == (file.parent.name, file.stem)
    if file.stem == "dense":
        assert summary["sparsity"] == 0 and summary["inference_flops_ratio"] == 1
        assert summary["nonzeros"] == summary["weights"] > 0
    else:
        sparsity = 0.95 if file.parent.name == "cifar10" else 0.9
        if file.stem != "gradual_magnitude":
            assert abs(summary["sparsity"] - sparsity) < 1e-3
        assert summary["nonzeros"] == round(summary["weights"] * (1 - summary["sparsity"]))
