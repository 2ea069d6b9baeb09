"""Every configuration in gin_configs trains for two steps; the bases among them are recipes."""

import json
import pathlib

import gin
import numpy as np
import pytest
import tiny_imagenet
from slow_cases import slow_unless

from keras_tickets import data, models
from keras_tickets.data import published, registry
from keras_tickets.experiments import cli
from keras_tickets.experiments.gin_files import read_experiment
from keras_tickets.experiments.starts import Dense
from keras_tickets.experiments.training_length import training_of

CONFIGS = pathlib.Path(__file__).parents[2] / "gin_configs"
BASES = sorted(CONFIGS.glob("*/*base.gin"))
LEVELS = sorted([*CONFIGS.glob("*/*tickets.gin"), *CONFIGS.glob("*/*distill.gin")])
FILES = sorted(set(CONFIGS.glob("*/*.gin")) - set(BASES) - set(LEVELS))
# Recipes of the lottery-ticket papers, and a small one: steps, batch, learning rate by step.
DROPS = {0: 0.1, 32_000: 0.1, 32_001: 0.01, 48_001: 0.001}
LATER_DROPS = {0: 0.1, 56_000: 0.1, 56_001: 0.01, 84_001: 0.001}
EPOCH_DROPS = {0: 0.1, 90 * 390 + 1: 0.01, 135 * 390 + 1: 0.001}
RECIPES = {
    "mnist/lenet_adam": (24_000, 60, {0: 1.2e-3, 23_999: 1.2e-3}),
    "cifar10/conv2": (20_000, 60, {0: 2e-4, 19_999: 2e-4}),
    "cifar10/conv4": (25_000, 60, {0: 3e-4, 24_999: 3e-4}),
    "cifar10/conv6": (30_000, 60, {0: 3e-4, 29_999: 3e-4}),
    "cifar10/resnet20": (63_000, 128, DROPS),
    "cifar10/resnet20_warmup": (63_000, 128, {0: 0, 15_000: 0.015, 30_000: 0.03, 40_000: 0.003}),
    "cifar10/resnet20_small": (6_248, 64, {0: 0.1, 3_170: 0.1, 3_171: 0.01, 4_751: 0.001}),
    "cifar10/vgg16": (63_000, 128, DROPS),
    "cifar10/vgg16_warmup": (63_000, 128, {0: 0, 15_000: 0.05, 30_000: 0.1, 40_000: 0.01}),
    "cifar10/vgg19": (112_000, 64, LATER_DROPS),
    "cifar10/vgg19_warmup": (112_000, 64, LATER_DROPS | {0: 0, 5_000: 0.05, 10_000: 0.1}),
    "cifar10/resnet56": (182 * 390, 128, EPOCH_DROPS),
    "cifar10/resnet110": (182 * 390, 128, EPOCH_DROPS),
    "cifar10/resnet83_bottleneck": (182 * 390, 128, EPOCH_DROPS),
    "cifar10/resnet164_bottleneck": (182 * 390, 128, EPOCH_DROPS),
}
# One of each kind; the others differ from them in the model only.
TRAINED = ("mnist/lenet_adam", "cifar10/conv2", "cifar10/resnet20_warmup", "cifar10/vgg19_warmup")
IMAGES = {"mnist": 60_000, "cifar10": 50_000, "cifar10_16x16": 50_000}
# Make two steps cheap.
SMALL_BATCH = ("train.epochs=1", "train.steps_per_epoch=2", "train.batch_size=8")
SMALL_MODEL = ("train.model=@conv2", "conv2.width=0.1", "train.batch_size=8")
NAMES = {"imagenet": "imagenet2012"}


def name(path):
    return f"{path.parent.name}-{path.stem}"


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


@pytest.fixture(scope="module")
def few_photographs(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("tfds"))
    tiny_imagenet.prepare(path, shards=2)
    return path


@pytest.fixture
def small_imagenet(few_photographs, monkeypatch):
    """Small images in place of those that nobody can download."""
    small = data.Description((32, 32, 3), 1000, streamed=True)
    monkeypatch.setitem(registry.DATASETS, "imagenet2012", small)
    monkeypatch.setattr(
        "keras_tickets.data.imagenet.published.directory", lambda _: few_photographs
    )


@pytest.fixture
def parse():
    """Makes the experiment of a file."""

    yield lambda file, *parameters: read_experiment([str(file)], parameters)
    gin.clear_config()


def test_the_configurations_are_there():
    names = {str(path.relative_to(CONFIGS)) for path in FILES}
    for dataset in ("digits", "mnist", "cifar10"):
        assert {f"{dataset}/{m}.gin" for m in ("dense", "static", "set", "rigl")} <= names
    assert {f"imagenet/{m}.gin" for m in ("dense", "static", "rigl")} <= names


@pytest.fixture
def run(made_up_images, small_imagenet, tmp_path, capsys):
    """Trains by a file and parameters, and returns the summary."""

    def run(file, parameters):
        directory = tmp_path / "run"
        arguments = ["train", f"--gin_file={file}", f"--workdir={directory}"]
        arguments += [f"--gin_param={parameter}" for parameter in parameters]
        assert cli.main(arguments) == 0, capsys.readouterr().err
        return json.loads((directory / "summary.json").read_text())

    return run


@pytest.mark.parametrize("file", [*FILES, *LEVELS], ids=name)
def test_is_read(file, parse):
    assert parse(file).procedure is not None


def trained_by_default(file):
    """One of each kind of method, on the digits."""
    kinds = ("rigl", "gradual_magnitude", "snip")
    return name(file) in [f"digits-{kind}" for kind in kinds]


@pytest.mark.parametrize("file", slow_unless(trained_by_default, FILES), ids=name)
def test_two_steps(file, run):
    smaller = SMALL_MODEL if file.parent.name == "imagenet" else ()
    summary = run(file, ("train.epochs=1", "train.steps_per_epoch=2", *smaller))
    assert summary["steps"] == 2
    dataset = NAMES.get(file.parent.name, file.parent.name)
    assert (summary["dataset"], summary["method"]) == (dataset, file.stem)
    if file.stem == "dense":
        assert summary["sparsity"] == 0 and summary["inference_flops_ratio"] == 1
        assert summary["nonzeros"] == summary["weights"] > 0
    else:
        sparsity = 0.95 if file.parent.name == "cifar10" else 0.9
        if file.stem != "gradual_magnitude":
            assert abs(summary["sparsity"] - sparsity) < 1e-3
        assert summary["nonzeros"] == round(summary["weights"] * (1 - summary["sparsity"]))


@pytest.mark.parametrize(
    "file",
    slow_unless(lambda file: file.parent.name == "digits", LEVELS),
    ids=name,
)
def test_two_steps_of_two_levels(file, run):
    method = "tickets" if file.stem.endswith("tickets") else "distill"
    parameters = ("train.epochs=1", "train.steps_per_epoch=2", "train.batch_size=4")
    parameters += (f"{method}.levels=1", f"{method}.rewind_to=1")
    if method == "tickets":
        parameters += ("tickets.control=None",)
    if file.parent.name == "imagenet":
        parameters += ("resnet50.width=0.125",)
    summary = run(file, parameters)
    assert (summary["steps"], summary["method"]) == (2, method)
    assert [row["level"] for row in summary["levels"]] == [0, 1]
    assert summary["nonzeros"] == summary["levels"][1]["nonzeros"] < summary["weights"]


def test_every_base_is_the_recipe_of_a_paper_or_the_base_of_all_methods():
    names = {str(path.relative_to(CONFIGS)).removesuffix("base.gin") for path in BASES}
    recipes = {f"{name}_" for name in RECIPES}
    assert recipes <= names and names - recipes == {f"{path.parent.name}/" for path in FILES}


def made_optimizer(experiment):
    with training_of(experiment.total_steps):
        return experiment.optimizer()


def test_the_recipe_of_imagenet(parse):
    experiment = parse(CONFIGS / "imagenet" / "base.gin")
    assert (experiment.batch_size, experiment.epochs) == (1024, 90)
    optimizer, epoch = made_optimizer(experiment), 1_281_167 // 1024
    rates = {0: 0, 1: 0.08, 5: 0.4, 30: 0.4, 60: 0.04, 80: 4e-3}
    for start, rate in rates.items():
        optimizer.iterations.assign(start * epoch)
        assert float(optimizer.learning_rate) == pytest.approx(rate, rel=1e-4, abs=1e-9)
        if start >= 30:
            optimizer.iterations.assign_add(1)
            assert float(optimizer.learning_rate) == pytest.approx(rate / 10, rel=1e-4)


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipes_of_papers(recipe, parse):
    steps, batch_size, rates = RECIPES[recipe]
    experiment = parse(CONFIGS / f"{recipe}_base.gin")
    steps_per_epoch = IMAGES[experiment.dataset] // batch_size
    assert experiment.batch_size == batch_size and isinstance(experiment.procedure.start, Dense)
    assert abs(experiment.epochs * steps_per_epoch - steps) <= steps_per_epoch / 2
    assert steps_per_epoch % experiment.steps_per_execution == 0
    name = experiment.model.__name__
    assert name in models.__all__ and recipe.partition("/")[2].startswith(name.split("_")[0])
    optimizer = made_optimizer(experiment)
    for step, rate in rates.items():
        optimizer.iterations.assign(step)
        assert float(optimizer.learning_rate) == pytest.approx(rate, rel=1e-5), step


@pytest.mark.slow
@pytest.mark.parametrize("recipe", TRAINED)
def test_two_steps_of_recipes(recipe, run):
    summary = run(CONFIGS / f"{recipe}_base.gin", SMALL_BATCH)
    assert (summary["steps"], summary["method"], summary["sparsity"]) == (2, "dense", 0)


@pytest.mark.slow
def test_regrowth_by_a_parameter(tmp_path):
    arguments = ["train", f"--gin_file={CONFIGS / 'digits' / 'gradual_magnitude.gin'}"]
    arguments += ["--gin_param=GradualMagnitude.regrow = True", "--gin_param=train.epochs=1"]
    assert cli.main([*arguments, f"--workdir={tmp_path / 'run'}"]) == 0
    assert "GradualMagnitude.regrow = True" in (tmp_path / "run" / "config.gin").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["dense", "static", "rigl"])
def test_two_steps_of_resnet50(method, run):
    summary = run(CONFIGS / "imagenet" / f"{method}.gin", (*SMALL_BATCH, "resnet50.width=0.125"))
    assert (summary["model"], summary["method"]) == ("resnet50", method)
    assert abs(summary["sparsity"] - (0.9 if method != "dense" else 0)) < 1e-3
