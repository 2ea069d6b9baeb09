"""Which runs a sweep makes, what they are called, and what is no sweep."""

import itertools
import pathlib
import re

import pytest

from keras_tickets.experiments import cli
from keras_tickets.experiments.sweeps.axes import Range, label, read_axis
from keras_tickets.experiments.sweeps.check import check_macros
from keras_tickets.experiments.sweeps.record import Record
from keras_tickets.experiments.sweeps.sweep import Sweep
from keras_tickets.experiments.sweeps.sweep_file import read_file, read_sweep

FILE = """
gin_param = "train.epochs=3"
seeds = [0, 1]

[grid]
gin_file = ["digits/static.gin", "digits/rigl.gin"]
train.sparsity = [0.8, 0.9]
"""


def names(sweep):
    return [run.name for run in sweep.runs()]


def parsed(*arguments):
    values = cli.flags_of("sweep")
    values(["keras-tickets", *arguments])
    return read_sweep(values)


def write(path, text):
    (path / "sweep.toml").write_text(text)
    return path / "sweep.toml"


def test_a_grid_is_every_combination_in_order(tmp_path):
    sweep = parsed(f"--sweep_file={write(tmp_path, FILE)}")
    methods, sparsities, seeds = ("static", "rigl"), ("0.8", "0.9"), ("0", "1")
    assert names(sweep) == [
        f"digits-{m}_sparsity={s}_seed={n}"
        for m, s, n in itertools.product(methods, sparsities, seeds)
    ]
    first = sweep.runs()[0]
    assert first.arguments("w") == [
        "train",
        "--gin_file=digits/static.gin",
        "--gin_param=train.epochs=3",
        "--gin_param=train.sparsity=0.8",
        "--gin_param=train.seed=0",
        "--workdir=w",
    ]


def test_flags_make_the_same_runs_as_a_file(tmp_path):
    flags = [
        "--gin_param=train.epochs=3",
        "--seeds=0,1",
        "--grid=gin_file=['digits/static.gin', 'digits/rigl.gin']",
        "--grid=train.sparsity=[0.8, 0.9]",
    ]
    assert parsed(*flags).runs() == parsed(f"--sweep_file={write(tmp_path, FILE)}").runs()


def test_flags_override_the_file(tmp_path):
    sweep = parsed(
        f"--sweep_file={write(tmp_path, FILE)}", "--seeds=7", "--grid=train.sparsity=[0.5]"
    )
    assert names(sweep) == ["digits-static_sparsity=0.5_seed=7", "digits-rigl_sparsity=0.5_seed=7"]


def test_more_seeds_and_values_leave_the_names_of_the_others(tmp_path):
    before = names(parsed(f"--sweep_file={write(tmp_path, FILE)}"))
    more = FILE.replace("[0, 1]", "[0, 1, 2]").replace("[0.8, 0.9]", "[0.7, 0.8, 0.9]")
    after = names(parsed(f"--sweep_file={write(tmp_path, more)}"))
    assert set(before) < set(after) and len(after) == 18


def test_a_list_of_runs(tmp_path):
    text = """
    gin_file = "digits/dense.gin"
    [[runs]]
    name = "small"
    "train.model" = "@lenet_300_100"
    "lenet_300_100.width" = 0.5
    [[runs]]
    train.epochs = 3
    """
    small, short = parsed(f"--sweep_file={write(tmp_path, text)}", "--seeds=4").runs()
    assert (small.name, short.name) == ("small_seed=4", "epochs=3_seed=4")
    assert small.gin_params == (
        "train.model=@lenet_300_100",
        "lenet_300_100.width=0.5",
        "train.seed=4",
    )


def test_a_setting_whose_value_is_a_table_is_written_with_its_whole_name(tmp_path):
    text = """
    gin_file = "digits/rigl.gin"
    [[runs]]
    name = "a"
    "train.sparsity" = {"fc1" = 0.5}
    """
    (run,) = parsed(f"--sweep_file={write(tmp_path, text)}").runs()
    assert run.gin_params == ("train.sparsity={'fc1': 0.5}",)


def test_random_choices_are_distinct_and_more_begin_with_the_same():
    grid = {"train.sparsity": [0.7, 0.8, 0.9], "SGD.learning_rate": Range(0.01, 1.0, log=True)}

    def sweep(choose, seed=0):
        return names(Sweep(("digits/rigl.gin",), grid=grid, choose=choose, choose_seed=seed))

    twenty = sweep(20)
    assert len(set(twenty)) == 20 and sweep(8) == twenty[:8] and sweep(8, seed=1) != twenty[:8]
    rates = [float(name.partition("rate=")[2]) for name in twenty]
    assert all(0.01 <= rate <= 1 for rate in rates)
    assert 4 < sum(rate < 0.1 for rate in rates) < 16
    assert {name.partition("_")[0] for name in twenty} == {f"sparsity=0.{n}" for n in (7, 8, 9)}


def test_as_many_choices_as_combinations_are_all_of_them():
    grid = {"train.sparsity": [0.7, 0.8, 0.9], "train.epochs": [1, 2]}
    drawn = Sweep(("digits/rigl.gin",), grid=grid, choose=6)
    assert sorted(names(drawn)) == sorted(names(Sweep(("digits/rigl.gin",), grid=grid)))


@pytest.mark.parametrize(
    "name, value, expected",
    [
        ("train.sparsity", 0.9, "sparsity=0.9"),
        ("SGD.learning_rate", -1e-05, "SGD.learning_rate=-1e-05"),
        ("train.dataset", "mnist", "dataset=mnist"),
        ("RigL.inner", "@Adam()", "RigL.inner=Adam"),
        ("a/b.c", True, "a-b.c=True"),
        ("train.milestones", [1, 2], "milestones=1-2"),
        ("gin_file", "/home/ann/study/net.gin", "study-net"),
        ("gin_file", "../net.gin", "net"),
        ("gin_file", "net.gin", "net"),
    ],
)
def test_what_values_are_called(name, value, expected):
    assert label(name, value) == expected


def test_long_values_have_short_names_of_their_own():
    values = [["layer"] * 40, ["layer"] * 41]
    first, second = (label("train.filters", value) for value in values)
    assert first != second and len(first) < 60


def test_configurations_beside_the_sweep_file_come_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study" / "digits").mkdir(parents=True)
    (tmp_path / "study" / "digits" / "rigl.gin").write_text('include "digits/rigl.gin"\n')
    text = 'gin_file = ["digits/rigl.gin", "digits/set.gin"]\nseeds = [0]\n'
    (run,) = parsed(f"--sweep_file={write(tmp_path / 'study', text)}").runs()
    assert run.gin_files == ("study/digits/rigl.gin", "digits/set.gin")


def test_a_record_forgets_runs_whose_configurations_have_changed(tmp_path):
    (tmp_path / "base.gin").write_text("train.epochs = 3\n")
    (tmp_path / "mine.gin").write_text('include "base.gin"\n')

    def run(seed=0):
        return Sweep(("mine.gin",), seeds=(seed,), directory=tmp_path).runs()[0]

    Record(tmp_path).add(run())
    assert Record(tmp_path).has(run()) and not Record(tmp_path).has(run(1))
    (tmp_path / "base.gin").write_text("train.epochs = 4\n")
    assert not Record(tmp_path).has(run())


@pytest.mark.parametrize(
    "text, message",
    [
        ("seeds = [0", "sweep.toml' is not valid: "),
        ("seed = [0]", "it has 'seed'; what it can have are gin_file"),
        ("seeds = []", "'seeds' must be a list of whole numbers"),
        ("seeds = [0.5]", "`seeds` must be an integer"),
        ("seeds = [1, 1]", "'seeds' has one twice"),
        ("grid = 3", "'grid' must be a table"),
        (
            "[grid]\ntrain.sparsity = []",
            "'train.sparsity' must have a list of values, at least one",
        ),
        ("[grid]\ntrain.sparsity = 0.9", "'train.sparsity' must have a list of values"),
        ("[grid]\ntrain.sparsity = [0.9, 0.9]", "'train.sparsity' has 0.9 twice"),
        ("[grid]\ntrain.sparsity = {from = 1, to = 0}", "must go from a number to a higher one"),
        ("[grid]\nx.y = {from = 0, to = 1, scale = 'log'}", "with log from a positive one"),
        ("[grid]\nx.y = [2020-01-01]", "'x.y' has a value that gin has none of"),
        ("[grid]\ngin_file = [3]", "'gin_file' must be a text or a list of texts"),
        ("runs = [3]", "'runs' must be tables"),
        ("[[runs]]\nname = '../up'", "the name of a run must be a text of letters"),
        ("[[runs]]\nname = 5", "of . _ + = -. Received: name=5"),
        ("[grid]\nname = ['a']", "a name is for a run of the list"),
        ("[grid]\n'train.x=1\\nimport os' = [1]", "is no name of a setting"),
        ('[grid]\n"train.seed\\nx" = [1]', "is no name of a setting"),
        ("[grid]\na.b = ['@SGD() @Adam()']", "'a.b' has a text that begins as a reference"),
        ("choose = 0", "`choose` must be an integer in [1, "),
    ],
)
def test_files_that_are_not_valid(text, message, tmp_path):
    with pytest.raises(ValueError, match="is not valid: ") as error:
        read_file(write(tmp_path, text))
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({}, "the sweep is empty"),
        ({"seeds": (0,), "gin_files": ()}, "the runs have no configuration"),
        ({"grid": {"train.seed": [0]}, "seeds": (1,)}, "'train.seed' is given twice"),
        ({"grid": {"a.b": [0]}, "listed": [{"a.b": 1}]}, "'a.b' is given twice"),
        ({"listed": [{"name": "a"}, {"name": "a"}]}, "two runs have the same name, 'a'"),
        ({"grid": {"a.b": ["x y", "x-y"]}}, "two runs have the same name, 'a.b=x-y'"),
        ({"listed": [{}]}, "needs a `name`"),
        ({"listed": [{"name": "logs"}]}, "needs a `name` of its own. Received: 'logs'"),
        ({"grid": {"a.b": Range(0, 1.0)}}, "'a.b' is a range"),
        ({"grid": {"a.b": [1, 2]}, "choose": 3}, "at most the 2 combinations"),
        ({"grid": {"a.b": Range(0, 1)}, "choose": 3}, "only 2 are different"),
    ],
)
def test_what_is_no_sweep(changes, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        Sweep(**{"gin_files": ("digits/rigl.gin",), **changes}).runs()


@pytest.mark.parametrize(
    "flag, message",
    [
        ("--grid=train.sparsity", "must be a list of values"),
        ("--grid=train.sparsity=0.9", "must be a list of values"),
        ("--grid=[1]", "it must be NAME="),
        ("--grid=gin_file=[1]", "'gin_file' must be a text or a list of texts"),
        ("--seeds=a", "--seeds must be numbers with commas"),
        ("--sweep_file=no.toml", "sweep file 'no.toml' does not exist"),
    ],
)
def test_flags_that_are_not_valid(flag, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        parsed(flag, "--gin_file=digits/rigl.gin")


def test_references_in_a_flag():
    sweep = parsed("--gin_file=digits/rigl.gin", "--grid=train.optimizer=[@SET, @RigL]")
    assert [run.gin_params for run in sweep.runs()] == [
        ("train.optimizer=@SET",),
        ("train.optimizer=@RigL",),
    ]


def test_references_in_a_list():
    sweep = Sweep(("digits/rigl.gin",), grid={"train.metrics": [["accuracy", "@F1"], []]})
    texts = [run.gin_params[0] for run in sweep.runs()]
    assert texts == ["train.metrics=['accuracy', @F1]", "train.metrics=[]"]


def test_long_names_fit_into_a_file_system():
    name = Sweep(("digits/rigl.gin",), listed=[{"name": "ü" * 150}, {"name": "ü" * 151}]).runs()
    assert all(len(run.name.encode()) <= 200 and run.name.startswith("ü" * 90) for run in name)


def test_a_file_with_a_byte_order_mark_and_a_folder(tmp_path):
    file = tmp_path / "sweep.toml"
    file.write_text("seeds = [1]\n", encoding="utf-8-sig")
    assert read_file(file) == {"seeds": (1,)}
    with pytest.raises(OSError, match="cannot be read: Is a directory"):
        read_file(tmp_path)


def test_macros_that_no_configuration_uses_are_refused():
    config = "rate = 0.1\nrates = 0.2\nSGD.learning_rate = %rate\n"
    check_macros(["rate=0.1", "train.seed=1"], config)
    for parameter in ("sparsity=0.9", "rat=0.1"):
        with pytest.raises(ValueError, match="changes nothing: no configuration has %"):
            check_macros([parameter], config)


@pytest.mark.parametrize("value", ["a b", "$HOME", "*", "a;b", '"', "../up"])
def test_names_mean_nothing_to_a_shell(value):
    assert re.fullmatch(r"[\w.+-]+=[\w.+-]+", label("x.y", value))


def test_a_range_is_read_and_drawn():
    axis = read_axis("x.y", {"from": 1, "to": 3})
    assert [axis.at(share) for share in (0, 0.4, 0.999)] == [1, 2, 3]


def test_the_file_of_the_guide(tmp_path):
    guide = pathlib.Path(__file__).parents[3] / "docs" / "sweeps.md"
    shown = re.search(r"```toml\n(.*?)```", guide.read_text(encoding="utf-8"), re.DOTALL)
    assert len(parsed(f"--sweep_file={write(tmp_path, shown[1])}").runs()) == 27
