"""The table of runs."""

import json
import pathlib
import runpy
import statistics

import pytest

TOOLS = pathlib.Path(__file__).parents[1] / "tools"


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    return runpy.run_path(str(TOOLS / "tabulate_runs.py"))


def write(path, **fields):
    path.mkdir(parents=True)
    run = {"dataset": "digits", "model": "mlp", "method": "rigl", "seed": 0, "steps": 9}
    run |= {"nonzeros": 100, "sparsity": 0.9, "test_accuracy": 0.5}
    (path / "summary.json").write_text(json.dumps(run | fields))


def rows(tool, path, **arguments):
    return tool["tabulate"](tool["read"]([path]), **arguments).splitlines()


def test_means_and_spreads_by_method_and_sparsity(tool, tmp_path):
    accuracies = {("rigl", 100): [0.9, 0.92, 0.97], ("set", 100): [0.8], ("rigl", 50): [0.7, 0.7]}
    for (method, nonzeros), values in accuracies.items():
        for seed, accuracy in enumerate(values):
            folder = tmp_path / f"{method}_{nonzeros}_{seed}"
            fields = {"method": method, "nonzeros": nonzeros, "seed": seed}
            write(folder, **fields, test_accuracy=accuracy)
    found = rows(tool, tmp_path)[2:]
    assert len(found) == 3
    (row,) = [row for row in found if "| rigl | 0.900 | 100 |" in row]
    spread = statistics.stdev([90, 92, 97])
    assert f"| 93.00 ± {spread:.2f} (90.00, 92.00, 97.00) | 0, 1, 2 |" in row
    (row,) = [row for row in found if "| set |" in row]
    assert "| 80.00 (80.00) | 0 |" in row


def test_whatever_differs_parts_the_rows(tool, tmp_path):
    for seed in (0, 1):
        for end in (0.5, 0.75):
            config = {"train.seed": seed, "RigL.end": end, "RigL.inner": "@SGD()"}
            write(tmp_path / f"{end}_{seed}", seed=seed, config=config, test_accuracy=end)
    header, _, first, second = rows(tool, tmp_path)
    assert header.endswith("| seeds | differs in |")
    assert first.endswith("| 50.00 ± 0.00 (50.00, 50.00) | 0, 1 | RigL.end=0.5 |")
    assert second.endswith("| 75.00 ± 0.00 (75.00, 75.00) | 0, 1 | RigL.end=0.75 |")


def test_a_setting_that_each_seed_has_of_its_own_can_be_ignored(tool, tmp_path):
    for seed in (0, 1):
        config = {"train.seed": seed, "train.ticket": f"runs/{seed}/ticket"}
        write(tmp_path / str(seed), seed=seed, config=config)
    assert len(rows(tool, tmp_path)) == 4
    assert len(rows(tool, tmp_path, ignore=["train.ticket"])) == 3


def test_runs_that_differ_in_nothing_are_an_error(tool, tmp_path):
    config = {"train.seed": 0, "RigL.end": 0.5}
    write(tmp_path / "a", config=config)
    write(tmp_path / "b", config=config)
    with pytest.raises(ValueError, match="a/summary.json and .*b/summary.json"):
        rows(tool, tmp_path)
    assert len(rows(tool, tmp_path / "a")) == 3
