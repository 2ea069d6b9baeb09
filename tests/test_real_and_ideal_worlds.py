"""The script that compares networks in the real and in the ideal world."""

import pathlib
import runpy

TOOL = pathlib.Path(__file__).parents[1] / "tools" / "real_and_ideal_worlds.py"


def test_the_table_and_the_figures(tmp_path):
    tool = runpy.run_path(str(TOOL))

    def course(first, last):
        return {"errors": [first, last], "soft_errors": [first + 0.05, last + 0.1]}

    runs = [
        {
            "steps": [0, 1500],
            "real": course(0.9, 0.5 + shift),
            "ideal": course(0.9, 0.4),
            "train": course(0.9, 0.2),
        }
        for shift in (0.0, 0.02)
    ]
    last = tool["table"]({"RigL": runs}, [1500]).splitlines()[-1]
    assert last == (
        "| RigL | 1,500 | 61.0 ± 1.4 | 50.0 ± 0.0 | 11.0 ± 1.4 | 51.0 ± 1.4 | 40.0 ± 0.0 | "
        "11.0 ± 1.4 | 20.0 ± 0.0 |"
    )
    tool["draw"]({"RigL": runs}, tmp_path / "worlds.png")
    assert {file.name for file in tmp_path.iterdir()} == {
        "worlds_errors.png",
        "worlds_soft_errors.png",
    }
