"""Reports on runs: what is found, counted and written."""

import csv
import dataclasses
import html.parser
import io
import json
import re
import shlex
import statistics
import subprocess
import sys

import numpy as np
import pytest
from run_directories import level, write_document, write_run

from keras_tickets.experiments import cli
from keras_tickets.experiments.report import figures, parts, tables
from keras_tickets.experiments.report.collect import collect
from keras_tickets.experiments.report.groups import group
from keras_tickets.experiments.report.page import _library, page
from keras_tickets.experiments.work_directory import WorkDirectory

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Two methods at two sparsities with three seeds, and the dense network once."""
    generator = np.random.default_rng(0)
    runs = tmp_path_factory.mktemp("study") / "runs"
    for method in ("rigl", "set"):
        for sparsity in (0.8, 0.9):
            for seed in (2, 0, 1):
                write_run(
                    runs / f"{method}_{sparsity}_{seed}",
                    method=method,
                    sparsity=sparsity,
                    seed=seed,
                    test_accuracy=float(generator.uniform(0.8, 0.95)),
                )
    dense = {"sparsity": 0.0, "sparsity_all_weights": 0.0, "nonzeros": 2220}
    write_run(runs / "dense", method="dense", masks=False, **dense)
    return runs


class Tags(html.parser.HTMLParser):
    """What a browser would load, and the text of the page outside of scripts."""

    def __init__(self, text):
        super().__init__()
        self.loads, self.scripts, self.tags, self.words = [], [], [], ""
        self._place = None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self._place = tag
        self.tags.append((tag, dict(attributes)))
        self.loads += [
            v for n, v in attributes if n in ("src", "href", "srcset", "action", "poster")
        ]

    def handle_endtag(self, tag):
        self._place = None

    def handle_data(self, data):
        if self._place == "script":
            self.scripts.append(data)
        else:
            self.words += data


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A page of runs with names that want to break out of it."""
    runs = tmp_path_factory.mktemp("hostile")
    for seed in (0, 1):
        config = {"train.name": HOSTILE, "lenet_300_100.width": 1.0}
        levels = [level(0, 0.9), level(1, 0.8 + seed / 10, reinit=0.7)]
        write_run(runs / f"<b>{seed}", seed=seed, method=HOSTILE, levels=levels, config=config)
    found = collect([runs])
    return page(found, group(found), [str(runs)])


def test_mean_and_spread_over_seeds(study):
    found = {(one.field("method"), one.field("sparsity")): one for one in group(collect([study]))}
    assert len(found) == 5
    accuracies = {
        seed: json.loads((study / f"rigl_0.8_{seed}" / "summary.json").read_text())["test_accuracy"]
        for seed in (0, 1, 2)
    }
    one = found["rigl", 0.8]
    assert [run.seed for run in one.runs] == [0, 1, 2]
    assert one.results == list(accuracies.values())
    row = tables.row_of(one)
    assert row["mean"] == pytest.approx(statistics.mean(accuracies.values()))
    assert row["spread"] == pytest.approx(statistics.stdev(accuracies.values()))
    assert row["n"] == 3
    assert tables.row_of(found["dense", 0.0])["spread"] is None


def test_bytes_are_those_of_values_and_bits(tmp_path):
    write_run(tmp_path / "a", weights=2000, nonzeros=200, sparsity_all_weights=0.75)
    write_run(tmp_path / "b", weights=2000, nonzeros=2000, sparsity_all_weights=0.0, seed=1)
    sparse, dense = (group([run])[0] for run in collect([tmp_path]))
    assert sparse.bytes == 4 * (1800 / 0.75 - 1800) + 2000 / 8  # of 2,400 weights, 2,000 masked
    assert dense.bytes == 8000
    (run,) = sparse.runs
    run.summary["sizes"] = {"dense": 9600, "bit_mask": 2651}
    assert sparse.bytes == 2651


def test_runs_that_differ_in_a_setting_are_apart_unless_it_is_ignored(tmp_path):
    for seed, ticket in ((0, "a"), (1, "b")):
        write_run(tmp_path / ticket, seed=seed, config={"train.ticket": ticket})
    apart = group(collect([tmp_path]))
    assert [one.differs for one in apart] == [{"train.ticket": "a"}, {"train.ticket": "b"}]
    (together,) = group(collect([tmp_path]), ignore=["train.ticket"])
    assert len(together.runs) == 2


def test_runs_that_are_the_same_are_counted_and_named(tmp_path):
    for name in ("a", "b"):
        write_run(tmp_path / name)
    runs = collect([tmp_path])
    (one,) = group(runs)
    assert len(one.runs) == 2 and runs[0].notes == []
    assert "the seed of" in runs[1].notes[0] and "a'; both are counted" in runs[1].notes[0]


def test_a_result_that_is_not_finite_is_left_out(tmp_path):
    write_run(tmp_path / "a", masks=False)
    write_run(tmp_path / "b", seed=1, masks=False, test_accuracy=float("nan"))
    write_run(tmp_path / "c", method="set", masks=False, test_accuracy=float("nan"))
    runs = collect([tmp_path])
    first, second = group(runs)
    assert first.results == [0.9] and second.results == []
    assert "<td" in parts.table(0, [first, second], None)


def test_csv_has_the_numbers_in_full(study, capsys):
    assert cli.main(["report", str(study), "--format=csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    groups = group(collect([study]))
    assert [row["method"] for row in rows] == ["dense", "rigl", "rigl", "set", "set"]
    for row, one in zip(rows, groups, strict=True):
        assert float(row["mean"]) == statistics.fmean(one.results)
        assert row["seeds"].split() == [str(run.seed) for run in one.runs]


def test_markdown_and_latex_have_the_columns_that_differ(study, capsys):
    one = group(collect([study]))[1]
    mean, deviation = (100 * f(one.results) for f in (statistics.mean, statistics.stdev))
    cli.main(["report", str(study), "--format=markdown"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "| method | sparsity | weights | FLOPs | accuracy, % | n |"
    assert lines[3] == f"| rigl | 0.800 | 222 | 0.100 | {mean:.2f} ± {deviation:.2f} | 3 |"
    cli.main(["report", str(study), "--format=latex"])
    text = capsys.readouterr().out
    assert rf"rigl & 0.800 & 222 & 0.100 & {mean:.2f} $\pm$ {deviation:.2f} & 3 \\" in text
    assert text.startswith(r"\begin{tabular}{lrrrrr}") and text.count(r"\\") == 6


def test_latex_of_names_with_its_own_characters(tmp_path):
    for name in ("a_b", "50%&{c}"):
        write_run(tmp_path / name, method=name)
    text = tables.as_latex(group(collect([tmp_path])))
    assert r"a\_b & " in text and r"50\%\&\{c\} & " in text


def test_no_line_break_and_no_formula_gets_out_of_a_table(tmp_path):
    write_run(tmp_path / "a", method="=1+1\n|x\x1b", masks=False)
    write_run(tmp_path / "b", masks=False)
    groups = group(collect([tmp_path]))
    assert r"| =1+1 \|x� |" in tables.as_markdown(groups)
    assert len(tables.as_markdown(groups).splitlines()) == 4
    rows = list(csv.DictReader(io.StringIO(tables.as_csv(groups))))
    assert [row["method"] for row in rows] == ["'=1+1\n|x\x1b", "rigl"]


def test_levels_without_a_finite_result_are_left_out(tmp_path):
    levels = [level(0, float("nan")), level(1, 0.8, reinit=float("inf"))]
    write_run(tmp_path / "a", levels=levels, masks=False)
    (one,) = group(collect([tmp_path]))
    assert [(row["branch"], row["level"]) for row in figures.levels_of(one)] == [("ticket", 1)]


def test_a_task_without_accuracy_has_its_own_metric(tmp_path):
    for seed, error in enumerate((0.5, 0.25)):
        run = {"test_mean_absolute_error": error, "test_loss": error**2, "seed": seed}
        write_run(tmp_path / str(seed), **run)
        text = (tmp_path / str(seed) / "summary.json").read_text()
        summary = json.loads(text)
        summary.pop("test_accuracy"), summary.pop("sha256"), summary.pop("format")
        write_document(tmp_path / str(seed) / "summary.json", summary)
    (one,) = group(collect([tmp_path]))
    assert one.metric == "mean_absolute_error" and one.results == [0.5, 0.25]
    assert "0.375 ± 0.1768" in parts.table(0, [one], None)
    write_run(tmp_path / "worse", test_mean_absolute_error=0.9, method="set")
    assert parts.best_of([one]) is one


def test_curves_are_means_with_the_range_of_the_seeds(study):
    one = group(collect([study]))[1]
    data = figures.figures_of(one)
    ends = [run.metrics["val_accuracy"] for run in one.runs]
    last = [values[-1] for values in ends]
    assert data["curves"]["val_accuracy"][-1] == pytest.approx(
        [3, statistics.mean(last), min(last), max(last)], rel=1e-3
    )
    exploration = dict(point[:2] for point in data["looks"]["exploration"])
    assert exploration[21] == pytest.approx(0.25)
    assert data["looks"]["gradient_after"][0][1] == pytest.approx(np.hypot(3, 3), rel=1e-3)
    assert data["layers"] == [["fc1/kernel", 0.9], ["fc2/kernel", 0.9]]
    assert len(figures.thinned([[i, i, i, i] for i in range(1000)])) == figures.MOST_POINTS


def test_the_page_loads_nothing(written):
    tags = Tags(written)
    assert all(address.startswith("data:") for address in tags.loads), tags.loads
    assert not re.search(
        r"@import|url\(", "".join(re.findall(r"<style>.*?</style>", written, re.S))
    )
    assert len(written.encode()) < 1.3e6


def test_hostile_names_stay_text(written):
    tags = Tags(written)
    assert [tag for tag, _ in tags.tags].count("script") == 3
    assert all("alert(2)" not in str(attributes.get("onerror")) for _, attributes in tags.tags)
    assert HOSTILE in tags.words and not any(a.get("src") == "x" for _, a in tags.tags)
    data = json.loads(tags.scripts[0])
    assert data["tasks"][0]["groups"][0]["name"] == HOSTILE


def test_the_command_repeats_a_run(written):
    (commands,) = re.findall(r'<pre class="commands">(.*?)</pre>', written, re.S)
    assert commands.count("keras-tickets train &#x27;--gin_file=") == 2
    assert "/&lt;b&gt;1/config.gin" in commands and "again/&lt;b&gt;1" in commands


@pytest.mark.slow
def test_the_command_of_the_page_trains_the_same_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = ["--gin_param=train.epochs=2", "--gin_param=train.seed=3"]
    assert cli.main(["train", "--gin_file=digits/rigl.gin", *settings, "--workdir=runs/a b"]) == 0
    (run,) = collect(["runs"])
    assert cli.main(shlex.split(parts.command_of(run))[1:]) == 0
    (again,) = collect(["again"])
    assert again.config == run.config and again.looks == run.looks
    assert again.summary["test_loss"] == run.summary["test_loss"]


@pytest.mark.parametrize("seeds", [1, 4])
def test_a_page_of_a_hundred_runs_is_small(tmp_path, seeds):
    config = {f"Setting{i}.value": f"value {i}" for i in range(60)}
    write_run(tmp_path / "run", epochs=100, config=config)
    (one,) = collect([tmp_path])
    found = []
    for index in range(100):
        changes = {"method": f"method_{index // seeds}", "seed": index % seeds}
        path = tmp_path / f"a_long_name_of_a_run_{index}"
        found.append(dataclasses.replace(one, path=path, summary=one.summary | changes))
    assert len(page(found, group(found), ["runs"]).encode()) < 3e6


def fail(capsys, *arguments):
    """Runs a command that must fail, and returns its one line on stderr."""
    assert cli.main(["report", *map(str, arguments)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_directories_without_runs(tmp_path, capsys):
    assert "'nowhere' does not exist" in fail(capsys, "nowhere")
    assert "is empty" in fail(capsys, tmp_path)
    (tmp_path / "holiday.txt").write_text("sun")
    assert "holds no run" in fail(capsys, tmp_path)
    assert "name the directories" in fail(capsys)
    assert [file.name for file in tmp_path.iterdir()] == ["holiday.txt"]


def test_unfinished_damaged_and_older_runs_are_named_and_the_rest_is_there(tmp_path, capsys):
    runs = tmp_path / "runs"
    write_run(runs / "good")
    write_run(runs / "unfinished", finished=False, epochs=2)
    write_run(runs / "damaged", seed=1)
    (runs / "damaged" / "summary.json").write_text("{")
    older = write_run(runs / "older", seed=2)
    for name in ("config", "versions"):
        older.pop(name)
    (runs / "older" / "summary.json").write_text(json.dumps(older))
    output = tmp_path / "report.html"
    with pytest.warns(UserWarning) as warned:
        assert cli.main(["report", str(runs), f"--output={output}"]) == 0
    lines = [str(one.message) for one in warned]
    assert len(lines) == 3
    for name, words in (
        ("damaged", "damaged, or of another kind"),
        ("older", "older version"),
        ("unfinished", "not finished: 2 of 3 epochs"),
    ):
        assert sum(f"{name}'" in line and words in line for line in lines) == 1
    text = output.read_text()
    for line in ("unfinished", "damaged", "older"):
        assert f"runs/{line}</code>: " in text
    (one,) = group(collect([runs]))
    assert [run.path.name for run in one.runs] == ["good", "older"]


def test_a_failed_run_says_why(tmp_path):
    write_run(tmp_path / "a", finished=False)
    WorkDirectory(tmp_path / "a").fail("the loss is nan")
    (one,) = collect([tmp_path])
    assert one.notes == ["it has failed: the loss is nan"]


def test_nothing_but_a_report_is_overwritten(study, tmp_path, capsys):
    output = tmp_path / "thesis.html"
    output.write_text("<p>years of work</p>")
    assert "nothing is overwritten" in fail(capsys, study, f"--output={output}")
    assert output.read_text() == "<p>years of work</p>"
    output.unlink()
    for _ in range(2):
        assert cli.main(["report", str(study), f"--output={output}"]) == 0
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.html"]
    assert "nothing is overwritten" in fail(capsys, study, f"--output={output}", "--format=csv")
    assert "--output must be a file" in fail(capsys, study, f"--output={tmp_path}")
    line = fail(capsys, study, "--format=pdf")
    assert "--format must be one of html, csv, latex, markdown" in line


def test_without_the_library_a_line_says_what_to_install(study, capsys, monkeypatch):
    _library.cache_clear()
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    line = fail(capsys, study)
    assert line.endswith("pip install vl-convert-python")
    assert cli.main(["report", str(study), "--format=csv"]) == 0


def test_a_report_needs_no_tensorflow(study):
    script = (
        "import sys; sys.argv = ['keras-tickets']; "
        "from keras_tickets.experiments.cli import main; "
        f"code = main(['report', {str(study)!r}, '--format=csv']); "
        "sys.exit(code or 9 * any(name in sys.modules for name in ('tensorflow', 'keras')))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
