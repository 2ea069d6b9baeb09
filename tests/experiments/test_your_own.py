"""Data, models, losses, metrics and callbacks of the user's, named in a configuration."""

import csv
import json
import os
import pathlib
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
from slow_cases import slow_unless

from keras_tickets.experiments import cli
from keras_tickets.experiments.gin_files import read_experiment
from keras_tickets.experiments.work_directory import WorkDirectory

HERE = pathlib.Path(__file__).parent
MINE = """
import study
train.dataset = @study.Squares()
train.model = @study.net
train.optimizer = @SGD
train.epochs = 2
train.batch_size = 16
SGD.learning_rate = 0.05
"""
SPARSE = ("train.sparsity=0.5", "train.optimizer=@RigL", "RigL.inner=@SGD()", "RigL.update_every=2")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a module and a configuration; what is imported in it is forgotten again."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    shutil.copy(HERE / "study.py", tmp_path)
    (tmp_path / "mine.gin").write_text(MINE)
    return tmp_path


def arguments(command, *parameters):
    return [command, "--gin_file=mine.gin", *(f"--gin_param={one}" for one in parameters)]


def run(*parameters, workdir="run"):
    assert cli.main([*arguments("train", *parameters), f"--workdir={workdir}"]) == 0
    return json.loads(pathlib.Path(workdir, "summary.json").read_text())


def line_of(capsys, *parameters, workdir="run"):
    """The one line of a command that must fail, after which there is no work directory."""
    assert cli.main([*arguments("train", *parameters), f"--workdir={workdir}"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert not pathlib.Path(workdir, "config.gin").exists()
    return line


@pytest.mark.slow
def test_own_data_and_model_in_a_run_and_its_plan(here, capsys):
    parameters = (*SPARSE, "Squares.examples=48", "study.net.width=20")
    assert cli.main(arguments("plan", *parameters)) == 0
    assert "64x20" in capsys.readouterr().out
    summary = run(*parameters)
    assert (summary["experiment"], summary["model"]) == ("squares/rigl", "net")
    assert summary["steps"] == 6 and summary["sparsity"] == pytest.approx(0.5, abs=0.01)
    config = (here / "run" / "config.gin").read_text()
    for line in ("import study", "Squares.examples = 48", "train.dataset = @study.Squares()"):
        assert line in config
    capsys.readouterr()
    assert cli.main(["train", "--gin_file=run/config.gin", "--workdir=run"]) == 0
    assert "nothing to do" in capsys.readouterr().out


def test_a_killed_run_of_own_batches_ends_as_if_it_had_not_been(here, capsys):
    whole = run("train.epochs=3", workdir="whole")
    failing = ("train.epochs=3", "train.dataset=@study.Failing()")
    assert cli.main([*arguments("train", *failing), "--workdir=parts"]) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line == "keras-tickets: data set 'squares', batch 0 of epoch 1: KeyError: 'lost'"
    config = here / "parts" / "config.gin"
    config.write_text(config.read_text().replace("Failing", "Squares"))
    parts = run("train.epochs=3", workdir="parts")
    assert (parts["test_loss"], parts["steps"]) == (whole["test_loss"], 12)
    files = [here / name / "metrics.csv" for name in ("whole", "parts")]
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize("place", ["--module", "beside"])
def test_a_module_by_flag_or_beside_the_file(place, here, monkeypatch):
    monkeypatch.delitem(sys.modules, "study", raising=False)
    (here / "configs").mkdir()
    (here / "mine.gin").rename(here / "configs" / "mine.gin")
    modules = []
    if place == "beside":
        (here / "study.py").rename(here / "configs" / "study.py")
    else:
        text = (here / "configs" / "mine.gin").read_text()
        (here / "configs" / "mine.gin").write_text(text.replace("import study", ""))
        modules = ["study"]
    assert read_experiment(["configs/mine.gin"], modules=modules).source.name == "squares"


@pytest.mark.parametrize(
    "dataset, figures",
    slow_unless(
        lambda dataset, _: dataset == "several",
        [
            ("numbers", {"mean_absolute_error", "loss"}),
            ("pairs", {"mean_absolute_error", "loss"}),
            ("yes_or_no", {"accuracy", "loss"}),
            ("several", {"accuracy", "loss"}),
        ],
    ),
)
def test_other_tasks(dataset, figures, here, capsys):
    summary = run(f"train.dataset=@study.{dataset}()", "train.epochs=4", *SPARSE)
    assert {name for name in summary if name.startswith("test_")} == {f"test_{n}" for n in figures}
    with open("run/metrics.csv") as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    assert losses[-1] < losses[0]
    if "accuracy" in figures:
        model = keras.models.load_model("run/model.keras", compile=False)
        data = read_experiment(["mine.gin"], [f"train.dataset=@study.{dataset}()"]).load_data()
        x, y = next(data.test().as_numpy_iterator())
        right = (model.predict(x, verbose=0) > 0).reshape(y.shape) == y
        assert summary["test_accuracy"] == pytest.approx(np.mean(right), abs=1e-6)
    else:
        assert "test mean absolute error:" in capsys.readouterr().out


@pytest.mark.slow
def test_own_loss_metric_and_callback(here):
    summary = run(
        "train.dataset=@study.numbers()",
        "train.loss=@study.cubic",
        "SGD.learning_rate=0.0001",
        'train.metrics=["mse", @study.Largest]',
        "study.Largest.scale=-1.0",
        "train.callbacks=[@study.Diary]",
        "study.Diary.file='notes.txt'",
    )
    assert summary["test_largest"] == 0.0 and summary["test_mean_squared_error"] > 0
    names = ["largest", "loss", "mean_squared_error"]
    names = sorted([*names, *(f"val_{name}" for name in names)])
    assert (here / "notes.txt").read_text() == "".join(f"{epoch} {names}\n" for epoch in range(2))
    assert "Diary.file = 'notes.txt'" in (here / "run" / "config.gin").read_text()
    as_class = run(
        "train.dataset=@study.numbers()",
        "train.loss=@study.Cubic()",
        "SGD.learning_rate=0.0001",
        workdir="class",
    )
    assert as_class["test_loss"] == pytest.approx(summary["test_loss"], rel=1e-5)


@pytest.mark.slow
def test_own_metrics_under_a_strategy(here):
    summary = run("train.strategy='mirrored'", "train.metrics=[@study.Largest]")
    assert summary["test_largest"] > 0


def test_a_factory_that_takes_anything_gets_what_those_of_the_package_take(here):
    experiment = read_experiment(["mine.gin"], ["train.model=@study.any_net"])
    assert experiment.dense_model().output_shape == (None, 2)


@pytest.mark.slow
def test_layers_of_ones_own_are_found_again_by_export(here):
    run("train.model=@study.scaled_net")
    code = (
        "from keras_tickets.experiments.cli import main; import sys; sys.exit(main(sys.argv[1:]))"
    )
    words = ["export", "--model=run/model.keras", "--output=served"]
    codes = [
        subprocess.run(
            [sys.executable, "-P", "-c", code, *words, *more],
            env={**os.environ, "PYTHONPATH": str(HERE.parents[1])},
            capture_output=True,
        ).returncode
        for more in ([], ["--module=study"])
    ]
    assert codes == [1, 0] and (here / "served").is_dir()


def test_keras_losses_by_importing_keras(here):
    (here / "mine.gin").write_text("import keras\n" + MINE)
    parameters = ("train.loss=@keras.losses.Huber()", "keras.losses.Huber.delta=0.5")
    experiment = read_experiment(["mine.gin"], ["train.dataset=@study.numbers()", *parameters])
    assert float(experiment.make_loss()(np.zeros((1, 1)), np.full((1, 1), 10.0))) == 0.5 * 9.75


@pytest.mark.slow
@pytest.mark.parametrize("dataset", ["numbers", "Squares"])
def test_tickets(dataset, here, capsys):
    levels = ("train.procedure=@tickets()", "tickets.levels=1", "train.epochs=1")
    summary = run(f"train.dataset=@study.{dataset}()", *levels)
    figure = "accuracy" if dataset == "Squares" else "mean_absolute_error"
    assert summary[f"test_{figure}"] == summary["levels"][1][f"test_{figure}"]
    shown = "accuracy" if dataset == "Squares" else "loss"
    assert f"test {shown}" in capsys.readouterr().out


@pytest.mark.slow
def test_distill_and_what_it_needs(here, capsys):
    student = ("train.procedure=@distill()", "distill.sparsity=0.5", "train.epochs=1")
    line = line_of(capsys, "train.dataset=@study.numbers()", *student)
    assert "`distill` needs a data set of classes" in line and "'table'" in line
    assert "`cached` is for data in memory" in line_of(capsys, *student, "distill.cached=True")
    summary = run(*student)
    assert summary["teacher_test_accuracy"] == summary["levels"][0]["test_accuracy"]


STREAM = (
    "train.dataset=@stream()",
    "stream.train=@study.streamed",
    "stream.test=@study.stream_test",
)


@pytest.mark.slow
def test_a_stream(here, capsys):
    line = line_of(capsys, *STREAM, "stream.outputs=2")
    assert "`steps_per_epoch` must be given for data set 'stream'" in line
    summary = run(*STREAM, "stream.outputs=2", "stream.examples=40")
    assert (summary["steps"], summary["dataset"]) == (4, "stream")
    assert summary["test_accuracy"] == 1.0


@pytest.mark.parametrize(
    "parameters, words",
    [
        (["train.dataset=@study.Incomplete()"], "an object of Incomplete without test_batches"),
        (["train.dataset=@study.Forgetful()"], "batch 0 of epoch 0 is another when it is drawn"),
        (["train.dataset=@study.Squares"], "`dataset` must be one of"),
        (["train.dataset=@study.Square()"], "The names are: Squares, Failing, Forgetful"),
        (["train.optimizer=@RigLL"], "The names are: Adadelta, Adafactor, Adagrad"),
        (["train.epohcs=3"], "They are: dataset, model, optimizer, epochs"),
        (["train.dataset=@npz()", "npz.path='no.npz'"], "'no.npz' does not exist (in npz)"),
        (
            ["train.dataset=@image_folder()", "image_folder.path='.'", "image_folder.size=[8, 8]"],
            "must hold a folder of images for each class, or `train` and `test` with such folders",
        ),
        (["train.validation=0.1"], "`validation` must be 0 for data set 'squares'"),
        (["train.batch_size=65"], "`batch_size` must be an integer in [1, 64]"),
        (["train.model=@study.fixed_net", "train.dataset=@study.numbers()"], "takes inputs of sha"),
        (["train.loss='mse'"], "outputs of the shape of the targets for `loss` mean_squared_error"),
        (
            ["train.dataset=@study.numbers()", "train.loss='sparse_categorical_crossentropy'"],
            "takes classes, and data set 'table' has targets float32 of shape ()",
        ),
        (["train.loss=@study.cubic"], "`loss` cubic does not fit: data set 'squares' has targets"),
        (["train.metrics=[@study.net]"], "`metrics` net does not fit: data set 'squares'"),
        (["train.model=@study.two_outputs"], "one input and one output, as data sets have"),
        (["train.dataset=@study.Empty()"], "'squares' has no test examples, in 1 batches"),
        (["train.dataset=@study.Untested()"], "the test set: TypeError: 'NoneType' object is not"),
        (["train.model=@study.hidden_net"], "`model` has a layer of class Hidden, which Keras wou"),
        (["train.loss='squared'"], "`loss`: Keras has no 'squared'"),
        (["train.metrics='mse'"], "`metrics` must be a list"),
        (["train.metrics=['means']"], "`metrics`: Keras has no 'means'"),
        (["train.metrics=[@study.Largest()]"], "`metrics` must be names, functions and classes"),
        (["train.callbacks=[@study.Diary()]"], "`callbacks` must be a function or class"),
        (["train.callbacks=[@study.fixed_net]"], "`callbacks` must make Keras callbacks"),
        (
            ["train.dataset=@study.numbers()", "train.metrics=['accuracy']"],
            "accuracy is of classes, and data set 'table' has numbers",
        ),
        ([*STREAM], "`outputs` must be a positive integer. Received: outputs=None"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_made(parameters, words, here, capsys):
    assert words in line_of(capsys, *parameters)


@pytest.mark.parametrize(
    "source, words",
    [
        ("1 / 0", "module 'broken' cannot be imported: ZeroDivisionError: division by zero"),
        ("def f(:", "module 'broken' cannot be imported: SyntaxError"),
        ("import no_such_thing", "ModuleNotFoundError: No module named 'no_such_thing'"),
        (None, "there is no module 'broken': it is neither in"),
    ],
)
def test_a_module_that_cannot_be_imported(source, words, here, capsys):
    if source is not None:
        (here / "broken.py").write_text(source)
    (here / "mine.gin").write_text("import broken\n" + MINE)
    assert words in line_of(capsys)


@pytest.mark.parametrize("name", ["study.py", "../study", ""])
def test_a_module_goes_by_its_name(name, here, capsys):
    assert cli.main(["plan", "--gin_file=mine.gin", f"--module={name}"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "without its folder and without .py" in line and repr(name) in line


@pytest.mark.slow
def test_a_run_of_an_earlier_version_goes_on(here):
    run("train.epochs=1")
    config = here / "run" / "config.gin"
    added = ("train.loss", "train.metrics", "train.callbacks")
    lines = [line for line in config.read_text().splitlines() if not line.startswith(added)]
    config.write_text("\n".join(lines))
    read_experiment(["mine.gin"], ["train.epochs=1"])
    assert run("train.epochs=1")["steps"] == 4
    assert WorkDirectory(here / "run").open(config.read_text() + "\ntrain.loss = None\n")
    with pytest.raises(ValueError, match="train.loss is 'mse', was None"):
        WorkDirectory(here / "run").open(config.read_text() + "\ntrain.loss = 'mse'\n")
