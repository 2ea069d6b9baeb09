"""Whatever a user's file, setting, flag or directory holds: one line that names it, exit code 1."""

import inspect
import itertools
import json
import pathlib
import shutil

import pytest

from keras_tickets.experiments import cli, settings

# Each with what the line must name.
GIN_TEXTS = [
    ("train.epochs = (1", "mine.gin"),
    ("train.epochs = [1, 2", "mine.gin"),
    ("train.epochs = {1: 2", "mine.gin"),
    ("train.epochs = )", "mine.gin"),
    ("train.epochs = 1]", "mine.gin"),
    ("train.dataset = 'digits", "mine.gin"),
    ('train.dataset = "digits', "mine.gin"),
    ('train.dataset = """digits', "mine.gin"),
    ("train.epochs", "mine.gin"),
    ("train.epochs =", "mine.gin"),
    ("train.epochs = = 1", "mine.gin"),
    ("= 1", "mine.gin"),
    ("train. = 1", "mine.gin"),
    (".epochs = 1", "mine.gin"),
    ("train.epochs = 1 2", "mine.gin"),
    ("train.epochs = 1 + 1", "mine.gin"),
    ("train.epochs = f(1)", "mine.gin"),
    ("train.epochs = __import__('os')", "mine.gin"),
    ("train.epochs = 0x", "mine.gin"),
    ("train.epochs = 1e", "mine.gin"),
    ("    train.epochs = 1\n  train.seed = 1\n", "mine.gin"),
    ("train.epochs \\\n= \\", "mine.gin"),
    ("train.optimizer = @", "mine.gin"),
    ("train.optimizer = @SGD(", "mine.gin"),
    ("train.optimizer = @@SGD", "mine.gin"),
    ("train.optimizer = @NoSuchOptimizer", "NoSuchOptimizer"),
    ("train.epochs = %undefined", "undefined"),
    ("train.epochs = %", "mine.gin"),
    ("trian.epochs = 1", "trian"),
    ("train.epohcs = 1", "epohcs"),
    ("RigL.seed = 1", "seed"),
    ("PolynomialDecay.power = 1", "PolynomialDecay"),
    ("train.optimizer = @PolynomialDecay()", "PolynomialDecay"),
    ("train:\n  epochs 1\n", "mine.gin"),
    ("import no_such_module", "no_such_module"),
    ("import broken_module", "broken_module"),
    ("import exiting_module", "mine.gin"),
    ("include 'digits/rigl.gin'\nm = %m\ntrain.seed = %m", "refers to itself"),
    ("include 'digits/rigl.gin'\ntrain.procedure = @train()", "refers to itself"),
    ("from keras_tickets import nothing", "mine.gin"),
    ("import", "mine.gin"),
    ("include", "mine.gin"),
    ("include nothing", "mine.gin"),
    ('include "nothing.gin"', "nothing.gin"),
    ('include "mine.gin"', "includes itself"),
    ('include "other.gin"', "includes itself"),
    ('include "."', "mine.gin"),
    ('include "~nosuchuser/x.gin"', "nosuchuser"),
    ("include 5", "mine.gin"),
    ("\x00", "mine.gin"),
    ("train.epochs = 1\x00", "mine.gin"),
    (b"train.name = '\xff\xfe'", "mine.gin"),
    (b"\x89PNG\r\n\x1a\n\x00\x00", "mine.gin"),
    ("(" * 500, "mine.gin"),
    ("train.filters = " + "[" * 300 + "]" * 300, "train"),
    ('{"train": 1}', "mine.gin"),
    ("", "train"),
    ("train.seed = 1", "train"),
]
# Values that a setting of `train` must refuse, all as they stand in a gin file.
NEITHER = ("5", "'x'", "[1]", "{'a': 1}", "True", "@RandomNormal()")
REFUSED = {
    "dataset": ("5", "None", "''", "['digits']", "@SGD"),
    "model": ("5", "'lenet_300_100'", "None", "@lenet_300_100()"),
    "optimizer": ("5", "'SGD'", "None", "@SGD()"),
    "epochs": ("0", "-1", "1.5", "'3'", "None", "True", "[1]"),
    "batch_size": ("0", "-1", "1.5", "'3'", "None", "True", "[1]"),
    "steps_per_epoch": ("0", "-1", "1.5", "'3'", "True", "[1]"),
    "validation": ("-0.1", "1.0", "'0.1'", "None", "[0.1]", "True"),
    "sparsity": ("-0.1", "1.0", "'0.9'", "[0.9]", "True", "{'nothing': 0.9}", "{'fc': 'x'}"),
    "distribution": ("5", "'erkk'", "[1]", "None", "@ERK"),
    "filters": ("5", "'['", "'nothing'", "[5]", "True"),
    "structure": ("5", "'NM'", "[1]", "True", "@Channel"),
    "mask": ("5", "'zeros'", "True", "[1]"),
    "scores": ("5", "'snip'", "[1]", "True", "@synflow()"),
    "scope": ("5", "'layer'", "None", "True"),
    "iterations": ("0", "1.5", "'3'", "None", "True"),
    "score_examples": ("0", "1.5", "'3'", "None", "True"),
    "ticket": ("0", "1", "True", "[1]", "'no/such.ticket'", "'~nosuchuser/x.ticket'", "'.'"),
    "ticket_start": ("5", "'weight'", "None"),
    "initializer": NEITHER,
    "seed": ("-1", "1.5", "'3'", "None", "True"),
    "steps_per_execution": ("0", "1.5", "'3'", "None", "True"),
    "jit_compile": ("1", "'x'", "None", "[True]"),
    "strategy": ("5", "'many'", "None", "True"),
    "procedure": ("5", "'fit'", "@tickets", "[1]", "True"),
    "name": ("5", "[1]", "True"),
    "loss": ("5", "'no_such_loss'", "[1]", "True"),
    "metrics": ("5", "'mse'", "['no_such_metric']", "True", "@RandomNormal()"),
    "callbacks": ("5", "'x'", "['x']", "None", "True"),
    "replicas": ("0", "1.5", "'2'", "2", "True"),
    "stretch": ("0", "-1.0", "'2'", "None", "True", "[2]", "@SGD"),
    "mixed_precision": ("5", "'float8'", "'float32'", "True", "[1]"),
    "label_smoothing": ("-0.1", "1.0", "'0.1'", "None", "True", "[0.1]"),
}
ONLY_WHEN_MADE = ("initializer", "mask")  # the plan does not look at them
OTHERS = [
    ("CosineDecay.initial_learning_rate = 'fast'", "learning rate"),
    ("SGD.learning_rate = None", "SGD"),
    ("SGD.momentum = 'much'", "momentum"),
    ("SGD.weight_decay = 'much'", "string"),
    ("SGD.momentum = 2.0", "momentum"),
    ("SGD.learning_rate = @conv2", "learning rate"),
    ("RigL.inner = @SGD", "RigL"),
    ("RigL.inner = {}", "inner"),
    ("RigL.track_exploration = 'x'", "track_exploration"),
    ("RigL.update_every = 100000000000000000000", "update_every"),
    ("train.seed = 4294967296", "seed"),
    ("train.scope = 'local'", "scope"),
    ("train.iterations = 2", "iterations"),
    ("train.ticket_start = 'masks'", "ticket_start"),
    ("train.scores = @snip\ntrain.distribution = 'uniform'", "distribution"),
    ("train.scores = @snip\ntrain.score_examples = 10000000", "score_examples"),
    ("train.sparsity = None\ntrain.mask = 'ones'", "mask"),
    ("RigL.update_every = 0", "update_every"),
    ("RigL.begin = '99%'", "begin"),
    ("RigL.end = -1", "-1"),
    ("RigL.drop_fraction = 'x'", "RigL"),
    ("RigL.drop_fraction = 2.0", "2.0"),
    ("RigL.grow_init = 5", "grow_init"),
    ("Cosine.initial = 'x'", "initial"),
    ("lenet_300_100.width = -1", "width"),
    ("lenet_300_100.width = 'x'", "width"),
    ("lenet_300_100.kernel_initializer = 'he_norml'", "he_norml"),
    ("lenet_300_100.kernel_initializer = 5", "5"),
    ("total_steps.x = 1", "total_steps"),
    ("CosineDecay.decay_steps = @scaled_steps()", "scaled_steps"),
    (
        "CosineDecay.decay_steps = @scaled_steps()\nscaled_steps.steps = 5\nscaled_steps.of = 0",
        "`of`",
    ),
    (
        "CosineDecay.decay_steps = @scaled_steps()\nscaled_steps.steps = 'x'\nscaled_steps.of = 5",
        "'x'",
    ),
    ("CosineDecay.decay_steps = 0", "decay_steps"),
    ("train.structure = @NM()", "NM"),
    ("train.structure = @NM()\nNM.n = 5\nNM.m = 4", "`n`"),
    ("train.model = @vgg19()", "model"),
    ("train.model = @Cosine", "`model`"),
    ("train.optimizer = @lenet_300_100", "`optimizer`"),
    ("train.distribution = @Custom()", "Custom"),
]
PROCEDURES = [
    ("tickets", "tickets.levels = -1", "levels"),
    ("tickets", "tickets.levels = '3'", "levels"),
    ("tickets", "tickets.levels = None", "levels"),
    ("tickets", "tickets.rate = 'x'", "rate"),
    ("tickets", "tickets.rate = 1.0", "rate"),
    ("tickets", "tickets.rewind_to = 'x'", "'x'"),
    ("tickets", "tickets.rewind_to = None", "None"),
    ("tickets", "tickets.basis = 5", "basis"),
    ("tickets", "tickets.basis = @Singular()\ntickets.optimizer_state = 'restore'", "optimizer"),
    ("tickets", "tickets.scope = 5", "scope"),
    ("tickets", "tickets.rates = 5", "rates"),
    ("tickets", "tickets.rewind = 5", "rewind"),
    ("tickets", "tickets.rewind = 'x'", "rewind"),
    ("tickets", "tickets.optimizer_state = 5", "optimizer_state"),
    ("tickets", "tickets.data_order = 5", "data_order"),
    ("tickets", "tickets.control = 5", "control"),
    ("tickets", "tickets.control_levels = 'x'", "control_levels"),
    ("tickets", "train.sparsity = 0.5", "sparsity"),
    ("distill", "distill.sparsity = 'x'", "sparsity"),
    ("distill", "distill.levels = 0", "levels"),
    ("distill", "distill.teacher = 0", "teacher"),
    ("distill", "distill.teacher = []", "teacher"),
    ("distill", "distill.teacher = [0]", "teacher"),
    ("distill", "distill.teacher = '~nosuchuser/t.keras'", "nosuchuser"),
    ("distill", "distill.teacher = 'text.keras'", "text.keras"),
    ("distill", "distill.temperature = 'x'", "temperature"),
    ("distill", "distill.alpha = 'x'", "alpha"),
    ("distill", "distill.reduction = 5", "reduction"),
    ("distill", "distill.end = 'x'", "'x'"),
    ("distill", "distill.cached = 'x'", "cached"),
]
COMMANDS = [
    (["brew"], "'brew'"),
    (["train", "plan"], "train plan"),
    (["plan", "digits/rigl.gin"], "digits/rigl.gin"),
    (["plan"], "--gin_file"),
    (["plan", "--gin_file="], "gin file ''"),
    (["plan", "--gin_file"], "gin_file"),
    (["plan", "--gin_file=."], "'.' is not a regular file"),
    (["plan", "--gin_file=/dev/null"], "'/dev/null' is not a regular file"),
    (["plan", "--gin_file=/dev/null/x"], "/dev/null/x"),
    (["plan", "--gin_file=~nosuchuser/x.gin"], "~nosuchuser/x.gin"),
    (["plan", "--gin_file=nowhere.gin"], "nowhere.gin"),
    (["plan", "--gin_file=digits/rigl.gin", "--gin_param=train.seed"], "train.seed"),
    (["plan", "--gin_file=digits/rigl.gin", "--gin_param=include 'x'"], "'x'"),
    (["plan", "--gin_file=digits/rigl.gin", "--gin_param=)"], ")"),
    (["plan", "--gin_file=digits/rigl.gin", "--gin_parm=x"], "gin_parm"),
    (["plan", "--flagfile=nowhere"], "nowhere"),
    (["train", "--gin_file=digits/rigl.gin"], "--workdir"),
    (["train", "--gin_file=digits/rigl.gin", "--workdir=~nosuchuser/run"], "~nosuchuser"),
    (["train", "--gin_file=digits/rigl.gin", "--workdir=text.keras"], "text.keras"),
    (["train", "--gin_file=digits/rigl.gin", "--workdir=text.keras/x"], "text.keras/x"),
    (["train", "--gin_file=digits/rigl.gin", "--workdir=/proc/x"], "/proc/x"),
    (["export"], "--model"),
    (["export", "--model=~nosuchuser/m.keras", "--output=x"], "~nosuchuser"),
    (["export", "--model=text.keras", "--output=x"], "text.keras"),
    (["export", "--model=.", "--output=x"], "'.'"),
    (["export", "--model=text.keras", "--packed=maybe", "--output=x"], "packed"),
]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "broken_module.py").write_text("raise RuntimeError('broken_module cannot')\n")
    (tmp_path / "exiting_module.py").write_text("raise SystemExit(0)\n")
    (tmp_path / "text.keras").write_text("not a model")
    (tmp_path / "other.gin").write_text('include "mine.gin"\n')
    return tmp_path


def line_of(capsys, arguments):
    """The one line on stderr of a command that must fail."""
    code = cli.main(arguments)
    captured = capsys.readouterr()
    assert code == 1, captured.out
    (line,) = captured.err.splitlines()
    assert line.startswith("keras-tickets: ") and "Traceback" not in captured.out
    assert 'File "/' not in line
    return line


def train(name, *parameters):
    arguments = ["train", f"--gin_file=digits/{name}.gin", "--workdir=run"]
    return arguments + [f"--gin_param={parameter}" for parameter in parameters]


@pytest.mark.parametrize("text, named", GIN_TEXTS)
def test_a_gin_file(text, named, here, capsys):
    content = text if isinstance(text, bytes) else text.encode()
    (here / "mine.gin").write_bytes(content)
    assert named in line_of(capsys, ["plan", "--gin_file=mine.gin"])


@pytest.mark.parametrize(
    "field, value", [(field, value) for field, values in REFUSED.items() for value in values]
)
def test_every_field_refuses_the_wrong_type(field, value, capsys):
    parameters = [f"train.{field} = {value}"]
    if field in ("ticket", "scores"):
        parameters.append("train.sparsity = None" if field == "ticket" else "train.sparsity = 0.5")
    if field == "procedure":
        parameters.append("train.sparsity = None")
    line = line_of(capsys, train("rigl", *parameters))
    assert field in line or value.strip("'@()") in line


def test_no_field_is_left_out():
    assert REFUSED.keys() == inspect.signature(settings.train).parameters.keys()


@pytest.mark.parametrize("parameter, named", OTHERS)
def test_other_settings(parameter, named, capsys):
    line = line_of(capsys, train("rigl", "train.steps_per_epoch = 1", parameter))
    assert named in line


@pytest.mark.parametrize("name, parameter, named", PROCEDURES)
def test_procedures(name, parameter, named, capsys):
    line = line_of(capsys, train(name, "train.epochs = 1", "train.steps_per_epoch = 1", parameter))
    assert named in line


@pytest.mark.parametrize("arguments, named", COMMANDS)
def test_commands(arguments, named, capsys):
    assert named in line_of(capsys, arguments)


RUN = ("train.epochs = 1", "train.steps_per_epoch = 1")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    run = tmp_path_factory.mktemp("finished") / "run"
    arguments = ["train", "--gin_file=digits/rigl.gin", f"--workdir={run}"]
    assert cli.main(arguments + [f"--gin_param={parameter}" for parameter in RUN]) == 0
    return run


def damaged_summaries(summary):
    yield ""
    yield "[]"
    yield "5"
    yield '{"test_accuracy": '
    yield json.dumps({"steps": 1})
    yield json.dumps({**summary, "test_accuracy": "high"})
    yield json.dumps({**summary, "levels": 5})
    yield json.dumps({**summary, "levels": [{"level": 0}]})


@pytest.mark.parametrize("number", range(8))
def test_damaged_summaries(number, finished, here, capsys):
    run = pathlib.Path(shutil.copytree(finished, here / "run"))
    summary = json.loads((run / "summary.json").read_text())
    text = next(itertools.islice(damaged_summaries(summary), number, None))
    (run / "summary.json").write_text(text)
    assert "summary.json" in line_of(capsys, train("rigl", *RUN))


@pytest.mark.parametrize("damage", ["cut", "flipped", "text", "missing", "directory"])
def test_damaged_models_of_a_finished_run(damage, finished, here, capsys):
    run = pathlib.Path(shutil.copytree(finished, here / "run"))
    model = run / "model.keras"
    content = model.read_bytes()
    model.unlink()
    if damage == "directory":
        model.mkdir()
    elif damage != "missing":
        middle = len(content) // 2
        flipped = content[:middle] + bytes(255 - byte for byte in content[middle:])
        model.write_bytes({"cut": content[:middle], "flipped": flipped, "text": b"text"}[damage])
    assert "model.keras" in line_of(capsys, train("rigl", *RUN))


@pytest.mark.parametrize("key", ["epoch", "epochs", "history", "seconds", "variables"])
def test_checkpoints_that_lack_a_key(key, finished, here, capsys):
    run = pathlib.Path(shutil.copytree(finished, here / "run"))
    (run / "summary.json").unlink()
    (file,) = run.glob("checkpoints/epoch_*/checkpoint.json")
    content = json.loads(file.read_text())
    content.pop(key, None)
    file.write_text(json.dumps(content))
    assert file.parent.name in line_of(capsys, train("rigl", *RUN))


@pytest.mark.parametrize("content", [b"\xff\xfe", b"train.epochs = 3", b"", b"= = ="])
def test_damaged_configurations_of_a_run(content, finished, here, capsys):
    run = pathlib.Path(shutil.copytree(finished, here / "run"))
    (run / "config.gin").write_bytes(content)
    assert "run" in line_of(capsys, train("rigl", *RUN))
