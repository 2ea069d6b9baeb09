"""The script that measures compact models runs."""

import importlib.util
import pathlib
import re

import pytest

PATH = pathlib.Path(__file__).parents[2] / "tools" / "compact_figures.py"


@pytest.mark.slow
def test_the_figures_are_printed(capsys):
    spec = importlib.util.spec_from_file_location("compact_figures", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main("--networks resnet20 --steps 1 --rounds 1 --dead 0.5".split())
    printed = capsys.readouterr().out
    before, after = re.search(r"weights: ([\d,]+) -> ([\d,]+)", printed).groups()
    assert before == "274,042" and int(after.replace(",", "")) < 150_000
    assert float(printed.rsplit(":", 1)[1]) < 1e-5
