"""The script that compares the accuracy and the speed of structures."""

import pathlib
import runpy

import pytest

import keras_tickets as kt

TOOL = pathlib.Path(__file__).parents[1] / "tools" / "structure_prices.py"


@pytest.fixture(scope="module")
def tool():
    return runpy.run_path(str(TOOL))


@pytest.mark.parametrize("data", ["mnist", "cifar10_16x16"])
def test_all_structures_leave_as_many_weights(tool, data):
    model = tool["network"](data, seed=0)
    for sparsity in tool["PATTERNS"]:
        counts = {
            name: kt.plan(
                model, sparsity, filters="fc", distribution="uniform", structure=structure
            ).nonzeros
            for name, structure in tool["structures"](sparsity).items()
        }
        assert len(set(counts.values())) == 1, counts


def test_the_table_and_the_figure(tool, tmp_path):
    cells = ["dense", *(f"{s:.1%}, {n}" for s in tool["PATTERNS"] for n in tool["structures"](s))]
    accuracies = {name: [0.9, 0.92, 0.94] for name in cells}
    seconds = {name: [2e-3, 4e-3] for name in cells} | {"control": [1e-3, 8e-3]}
    seconds["95.3%, 1x4 blocks"] = [1e-3, 1e-3]
    lines = tool["table"]("digits", accuracies, seconds).splitlines()
    assert len(lines) == 2 + len(cells)
    assert "| dense | 92.00 ± 2.00 | 1.25 (0.50-2.00) |" in lines
    assert "| 95.3%, 1x4 blocks | 92.00 ± 2.00 | 3.00 (2.00-4.00) |" in lines
    tool["draw"]({"digits": (accuracies, seconds)}, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000
