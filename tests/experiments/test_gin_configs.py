"""Every configuration in gin_configs trains for two steps; the bases among them are recipes."""

import json
import pathlib

import gin
import numpy as np
import pytest
import tiny_imagenet
import wikitext
from slow_cases import slow_unless

from keras_tickets import data, models
from keras_tickets.data import published, registry, texts
from keras_tickets.experiments import cli
from keras_tickets.experiments.gin_files import read_experiment
from keras_tickets.experiments.starts import Dense
from keras_tickets.experiments.training_length import training_of

CONFIGS = pathlib.Path(__file__).parents[2] / "gin_configs"
BASES = sorted(CONFIGS.glob("*/*base.gin"))
LEVELS = sorted([*CONFIGS.glob("*/*tickets.gin"), *CONFIGS.glob("*/*distill.gin")])
FILES = sorted(set(CONFIGS.glob("*/*.gin")) - set(BASES) - set(LEVELS))
METHODS = {path.stem for path in FILES if path.parent.name == "digits"}
# Recipes of the papers, and small ones: steps, batch, learning rate by step.
DROPS = {0: 0.1, 32_000: 0.1, 32_001: 0.01, 48_001: 0.001}
LATER_DROPS = {0: 0.1, 56_000: 0.1, 56_001: 0.01, 84_001: 0.001}
EPOCH_DROPS = {0: 0.1, 90 * 390 + 1: 0.01, 135 * 390 + 1: 0.001}
WIDE_DROPS = {0: 0.1, 29_952: 0.1, 29_953: 0.02, 60_000: 0.004, 90_000: 0.0008}
SMOOTH_DROPS = {0: 0, 976: 0.05, 22_186: 0.1, 22_187: 0.02, 44_374: 0.004, 90_000: 0.00016}
MOBILE_DROPS = {0: 0, 1_248: 0.8, 12_480: 1.6, 12_481: 0.16, 23_401: 0.016, 29_641: 0.0016}
RECIPES = {
    "mnist/lenet_sgd": (120_000, 100, {0: 0.2, 36_001: 0.2 / 3, 42_001: 0.2 / 9, 48_001: 0.2 / 27}),
    "cifar10/wrn22_2": (97_656, 128, WIDE_DROPS),
    "cifar100/wrn22_2": (97_656, 128, WIDE_DROPS),
    "cifar10/resnet50": (97_500, 128, SMOOTH_DROPS),
    "cifar100/resnet50": (97_500, 128, SMOOTH_DROPS),
    "imagenet/resnet50": (
        32_000,
        4096,
        {0: 0, 780: 0.8, 9_360: 1.6, 9_361: 0.16, 21_841: 0.016, 28_081: 0.0016},
    ),
    "imagenet/mobilenet_v1": (32_000, 4096, MOBILE_DROPS),
    "imagenet/mobilenet_v2": (32_000, 4096, MOBILE_DROPS),
    "imagenet/squeezenet": (187_650, 1024, {0: 0.03, 93_825: 0.0175, 187_650: 0.005}),
    "imagenet/inception_v3": (213_921, 1024, {0: 0.66, 213_921: 6.6e-5}),
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
IMAGES = {"mnist": 60_000, "cifar10": 50_000, "cifar10_16x16": 50_000, "cifar100": 50_000}
IMAGES |= {"imagenet2012": 1_281_167, "imagenet2012_299": 1_281_167}
# Make two steps cheap.
SMALL_BATCH = ("train.epochs=1", "train.steps_per_epoch=2", "train.batch_size=8")
SMALL_MODEL = ("train.model=@conv2", "conv2.width=0.1", "train.batch_size=8", "train.filters=None")
# Networks of which one configuration trains, and the others with a smaller network in its place.
SMALLER = {
    "resnet50": ("resnet50.width=0.125",),
    "mobilenet_v1": ("mobilenet_v1.width=0.1",),
    "mobilenet_v2": ("mobilenet_v2.width=0.1",),
    "squeezenet": ("squeezenet.width=0.1",),
    "wrn22_2": ("wrn22_2.width=0.25",),
}
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
    text = bytes(range(256)) * 100
    monkeypatch.setattr(published, "prepared", lambda name, data_dir: None)
    monkeypatch.setattr(texts._TinyShakespeare, "_text", lambda self, builder, split: _bytes(text))


def _bytes(text):
    return np.frombuffer(text, "uint8")


@pytest.fixture(autouse=True)
def wikitext_here(tmp_path, monkeypatch):
    """The texts that a user puts into the current folder."""
    wikitext.write(tmp_path)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def few_photographs(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("tfds"))
    tiny_imagenet.prepare(path, shards=2)
    return path


@pytest.fixture
def small_imagenet(few_photographs, monkeypatch):
    """Small images in place of those that nobody can download."""
    small = data.Description((32, 32, 3), 1000, streamed=True)
    for name in ("imagenet2012", "imagenet2012_299"):
        monkeypatch.setitem(registry.DATASETS, name, small)
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


def method_of(file):
    """The name that the summary of its run has for the method."""
    stem = file.stem.replace("big_sparse", "rigl")
    return max((name for name in METHODS if f"_{name}_" in f"_{stem}_"), key=len)


def network_of(file):
    """The network that a recipe is named for, if any."""
    return next((name for name in SMALLER if file.stem.startswith(name)), None)


def smaller(file):
    """Settings that make two steps of a file cheap."""
    place, network = file.parent.name, network_of(file)
    if place in ("wikitext103", "tiny_shakespeare"):
        return (*SMALL_BATCH, "char_gru.width=0.1")
    if network and file.stem == f"{network}_rigl" and place != "cifar100":
        return (*SMALL_BATCH, *SMALLER[network])
    settings = SMALL_MODEL if network or place == "imagenet" else ()
    return (*settings, "train.score_examples=8") if network and "snip" in file.stem else settings


@pytest.mark.parametrize("file", slow_unless(trained_by_default, FILES), ids=name)
def test_two_steps(file, run, parse):
    start = parse(file).procedure.start
    summary = run(file, ("train.epochs=1", "train.steps_per_epoch=2", *smaller(file)))
    assert summary["steps"] == 2
    dataset = NAMES.get(file.parent.name, file.parent.name)
    assert (summary["dataset"], summary["method"]) == (dataset, method_of(file))
    if summary["method"] == "dense":
        assert summary["sparsity"] == 0 and summary["inference_flops_ratio"] == 1
        assert summary["nonzeros"] == summary["weights"] > 0
    else:
        if summary["method"] != "gradual_magnitude" and isinstance(start.sparsity, float):
            assert abs(summary["sparsity"] - start.sparsity) < 2e-3
        assert summary["nonzeros"] == round(summary["weights"] * (1 - summary["sparsity"]))


@pytest.mark.slow
@pytest.mark.parametrize("file", [*FILES, *BASES, *LEVELS], ids=name)
def test_plan_prints_the_table(file, made_up_images, capsys):
    parameters = ["--gin_param=train.score_examples=8"] if "snip" in file.stem else []
    if "snip" in file.stem and file.parent.name == "imagenet":
        parameters.append("--gin_param=train.scores=@random")  # the images are not there
        parameters.pop(0)
    assert cli.main(["plan", f"--gin_file={file}", *parameters]) == 0
    printed = capsys.readouterr().out
    assert "kernel" in printed and "nonzeros" in printed and "sparsity" in printed


def test_counts_of_the_rigl_paper_by_its_configurations(parse):
    plan = parse(CONFIGS / "cifar10" / "wrn22_2_rigl.gin").plan()
    assert plan.nonzeros + 432 == 108_102  # with the first convolution, which has no mask
    plan = parse(CONFIGS / "mnist" / "lenet_sgd_rigl.gin").plan()
    assert [row.nonzeros for row in plan.rows] == [4_704, 3_540]


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
    if file.stem.startswith("inception_v3"):
        parameters += SMALL_MODEL
    elif file.parent.name == "imagenet":
        parameters += SMALLER[network_of(file) or "resnet50"]
    summary = run(file, parameters)
    assert (summary["steps"], summary["method"]) == (2, method)
    assert [row["level"] for row in summary["levels"]] == [0, 1]
    assert summary["nonzeros"] == summary["levels"][1]["nonzeros"] < summary["weights"]


def test_every_base_is_the_recipe_of_a_paper_or_the_base_of_all_methods():
    names = {str(path.relative_to(CONFIGS)).removesuffix("base.gin") for path in BASES}
    recipes = {f"{name}_" for name in RECIPES}
    bases = {f"{path.parent.name}/" for path in FILES} - {"cifar100/"}  # those of CIFAR-10 are its
    assert recipes <= names and names - recipes == bases


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
