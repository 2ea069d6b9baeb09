"""Configurations by path and by name, and includes relative to the file that includes them."""

import pathlib

import pytest

from keras_tickets.experiments import cli, configurations
from keras_tickets.experiments.gin_files import read_experiment

ROOT = pathlib.Path(__file__).parents[2]


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def test_configs_lists_every_configuration_with_what_it_is(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    assert cli.main(["configs"]) == 0
    listed = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    files = {path.relative_to(ROOT / "gin_configs") for path in ROOT.glob("gin_configs/*/*.gin")}
    assert listed.keys() == {path.as_posix() for path in files}
    assert listed["digits/snip.gin"] == (
        "SNIP: keep the weights that the loss depends on most, before training"
    )


def test_configs_fits_the_terminal(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    assert cli.main(["configs"]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_a_name_works_from_anywhere_and_a_file_of_the_user_wins(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["plan", "--gin_file=digits/rigl.gin"]) == 0
    assert "sparsity 0.9000" in capsys.readouterr().out
    write(tmp_path / "digits/rigl.gin", 'include "base.gin"\ntrain.epochs = 7\n')
    write(
        tmp_path / "digits/base.gin",
        'include "digits/dense.gin"\ntrain.epochs = 6\ntrain.seed = 3\n',
    )
    experiment = read_experiment(["digits/rigl.gin"])
    assert (experiment.epochs, experiment.seed, experiment.dataset) == (7, 3, "digits")


def test_includes_are_relative_to_the_file_that_includes_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "part.gin", "train.seed = 1\n")
    write(tmp_path / "a/part.gin", "train.seed = 2\n")
    write(tmp_path / "a/b/part.gin", 'include "../part.gin"\ntrain.epochs = 2\n')
    outer = write(tmp_path / "a/outer.gin", 'include "digits/base.gin"\ninclude "b/part.gin"\n')
    experiment = read_experiment([outer])
    assert (experiment.seed, experiment.epochs) == (2, 2)


def test_an_include_is_not_looked_for_in_the_current_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "part.gin", "train.seed = 1\n")
    outer = write(tmp_path / "a/outer.gin", 'include "part.gin"\n')
    with pytest.raises(ValueError, match=r"outer.gin'.*'part.gin' does not exist in '.*/a'"):
        read_experiment([outer])


def test_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "mine.gin", 'include "~/other.gin"\n')
    write(tmp_path / "other.gin", 'include "digits/dense.gin"\ntrain.seed = 9\n')
    assert read_experiment(["~/mine.gin"]).seed == 9


def test_files_that_include_each_other_are_named(tmp_path):
    first = write(tmp_path / "first.gin", 'include "second.gin"\n')
    second = write(tmp_path / "second.gin", 'include "first.gin"\n')
    (tmp_path / "other_name.gin").symlink_to(first)
    for file in (first, second, str(tmp_path / "other_name.gin")):
        with pytest.raises(ValueError, match="includes itself"):
            read_experiment([file])


def test_summaries_end_with_their_first_sentence():
    files = configurations.installed()
    assert configurations.summary_of(files["mnist/base.gin"]) == (
        "LeNet-300-100 on MNIST, after the recipe of the RigL paper's code: batch 100, SGD with "
        "Nesterov momentum 0.9, updates every 100 steps"
    )


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pathlib.Path("mine.gin").write_bytes(b"\xef\xbb\xbfinclude 'digits/rigl.gin'\r\ntrain.seed = 7")
    assert read_experiment(["mine.gin"]).seed == 7
