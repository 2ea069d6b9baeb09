"""`tools/export_figures.py`, and the sizes that exports are to reach."""

import export_figures
import pytest


def times_smaller(capsys, network, sparsity, exports):
    """How many times smaller than four bytes a weight each export is."""
    arguments = ["--networks", network, "--sparsities", str(sparsity), "--exports", *exports]
    export_figures.main(arguments)
    printed = capsys.readouterr().out
    assert f"{network}, {sparsity}:" in printed
    if {"SavedModel", "SavedModel, packed"} <= set(exports):
        assert "bit for bit: equal=True" in printed
    rows = [line.split(" | ") for line in printed.splitlines() if line.startswith(f"| {network}")]
    return {row[2]: float(row[4]) for row in rows}


@pytest.mark.slow
def test_the_figures_of_lenet(capsys):
    times = times_smaller(capsys, "lenet_300_100", 0.95, list(export_figures.EXPORTS)[:4])
    assert 0.9 < times["SavedModel"] <= 1
    assert times["SavedModel, packed"] > 6 and times["LiteRT"] > 10 and times["LiteRT, int8"] > 15


@pytest.mark.slow
def test_the_sizes_of_resnet50(capsys):
    times = times_smaller(capsys, "resnet50", 0.9, list(export_figures.EXPORTS)[:4])
    assert times["SavedModel, packed"] >= 6 and times["LiteRT"] >= 6 and times["LiteRT, int8"] >= 11
    times = times_smaller(capsys, "resnet50", 0.95, ["LiteRT, int8"])
    assert times["LiteRT, int8"] >= 15
