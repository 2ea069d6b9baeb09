import pathlib

import pytest
from run_workers import run_workers

WORKER = pathlib.Path(__file__).with_name("checkpoint_worker.py")


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["mirrored", "workers"])
def test_resumes_exactly(mode, tmp_path):
    (tmp_path / "saved").mkdir()
    results = run_workers(WORKER, tmp_path / "saved", mode, directory=str(tmp_path))
    assert all(result["resumed_after"] == 2 for result in results)
    assert [path.name for path in (tmp_path / "parts").iterdir()] == ["epoch_000004"]
