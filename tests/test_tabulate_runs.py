"""The table of runs."""

import json
import pathlib
import runpy
import statistics

TOOL = pathlib.Path(__file__).parents[1] / "tools" / "tabulate_runs.py"


def test_means_and_spreads_by_method_and_sparsity(tmp_path):
    tool = runpy.run_path(str(TOOL))
    accuracies = {("rigl", 100): [0.9, 0.92, 0.97], ("set", 100): [0.8], ("rigl", 50): [0.7, 0.7]}
    for (method, nonzeros), values in accuracies.items():
        for seed, accuracy in enumerate(values):
            folder = tmp_path / f"{method}_{nonzeros}_{seed}"
            folder.mkdir()
            run = {"dataset": "digits", "model": "mlp", "method": method, "seed": seed, "steps": 9}
            run |= {"nonzeros": nonzeros, "sparsity": 0.9, "test_accuracy": accuracy}
            (folder / "summary.json").write_text(json.dumps(run))
    rows = tool["tabulate"](tool["read"]([tmp_path])).splitlines()[2:]
    assert len(rows) == 3
    (row,) = [row for row in rows if "| rigl | 0.900 | 100 |" in row]
    spread = statistics.stdev([90, 92, 97])
    assert f"| 93.00 ± {spread:.2f} (90.00, 92.00, 97.00) | 0, 1, 2 |" in row
    (row,) = [row for row in rows if "| set |" in row]
    assert "| 80.00 (80.00) | 0 |" in row
