"""The study of the landscape: a tiny one, and what its tables say of numbers that are known."""

import json
import pathlib
import sys

import pytest

sys.path.append(str(pathlib.Path(__file__).parents[1] / "tools"))
import landscape_figures  # noqa: E402


def training(loss, accuracy, explored, norms=None, epochs=4):
    return {
        "train_loss": loss,
        "losses": [loss] * epochs,
        "test_accuracy": accuracy,
        "exploration": explored,
        "norms": norms or {},
    }


def way(*losses):
    alphas = [i / (len(losses) - 1) for i in range(len(losses))]
    return {"alphas": alphas, "losses": {"train": losses}, "errors": {"test": losses}}


@pytest.fixture
def directory(tmp_path):
    """Two seeds of a network: the second has no further trainings yet."""
    for seed in (0, 1):
        flat = {"steps": [0, 10, 20, 40], "before": [4, 2, 2, 1], "after": [4, 2, 2, 1]}
        raised = {"steps": [0, 10, 20, 40], "before": [4, 2, 2, 1], "after": [4, 3, 2.2, 1]}
        cells = {
            "solutions": {
                "static": training(0.3 + seed / 10, 0.8, 0.02, flat),
                "RigL": training(0.1, 0.9, 0.06, raised),
            },
            "ways": {
                "line": way(0.3, 0.7 + seed / 5, 0.1),
                "union": way(0.3, 0.2, 0.1),
                "dense": way(0.3, 0.05, 0.1),
            },
        }
        if seed == 0:
            cells["escape"] = {
                "static": training(0.29, 0.81, 0.02),
                "RigL": training(0.1, 0.9, 0.1),
            }
            cells["exploration_SET_20"] = training(0.2, 0.85, 0.05)
        folder = tmp_path / "net" / f"seed_{seed}"
        folder.mkdir(parents=True)
        for name, content in cells.items():
            (folder / f"{name}.json").write_text(json.dumps(content))
    return tmp_path


def test_tables_of_a_study_that_is_not_finished(directory):
    cells = landscape_figures.read(directory)["net"]
    lines = list(landscape_figures.tables(cells))
    assert (
        "| straight line | 0.800 ± 0.141 (0.700, 0.900) | 0.500 ± 0.141 (0.400, 0.600) "
        "| 80.0 ± 14.1 (70.0, 90.0) |" in lines
    )
    assert any(line.startswith("| curve, both masks | 0.300 ± 0.000") for line in lines)
    assert any(line.startswith("| RigL | 10 | 0.100 ± 0.000") for line in lines)
    assert "| SET | 20 | 0.200 | 85.00 | 5.0 |" in lines
    assert "| static solution, then static |  | 0.290 | 81.00 | 2.0 |" in lines
    assert "| RigL | 1.50 ± 0.00 (1.50, 1.50) | 1.10 ± 0.00 (1.10, 1.10) |" in lines


def test_figures_of_it(directory, tmp_path):
    pytest.importorskip("matplotlib")
    figure = landscape_figures.draw(landscape_figures.read(directory)["net"])
    labels = [len(axes.get_legend_handles_labels()[0]) for axes in figure.axes]
    assert labels == [3, 3, 2, 3]
    figure.savefig(tmp_path / "net.png")
    assert (tmp_path / "net.png").stat().st_size > 1000


@pytest.mark.slow
def test_a_tiny_study_goes_on_where_it_was_stopped(tmp_path):
    import landscape_study

    study = landscape_study.Study("tiny", 0, tmp_path)
    study.cell("solutions", study.solutions)
    times = (tmp_path / "tiny/seed_0/solutions.json").stat().st_mtime_ns
    again = landscape_study.Study("tiny", 0, tmp_path)
    again.main_cells()
    again.exploration_cells()
    assert (tmp_path / "tiny/seed_0/solutions.json").stat().st_mtime_ns == times
    cells = landscape_figures.read(tmp_path)["tiny"]
    assert {"solutions", "ways", "escape", "exploration_RigL_20", "exploration_SET_10"} == set(
        cells
    )
    (found,) = cells["ways"]
    (ends,) = cells["solutions"]
    for ways in found.values():
        losses = ways["losses"]["train"]
        assert losses[0] == pytest.approx(ends["static"]["train_loss"], rel=1e-4)
        assert losses[-1] == pytest.approx(ends["RigL"]["train_loss"], rel=1e-4)
    norms = ends["RigL"]["norms"]
    assert norms["steps"] == [0, 20, 40, 60] and norms["after"] != norms["before"]
    assert ends["static"]["norms"]["after"] == ends["static"]["norms"]["before"]
    assert max(found["line"]["losses"]["train"]) >= max(found["dense"]["losses"]["train"])
