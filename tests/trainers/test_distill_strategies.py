"""The same distillation without a strategy, on two replicas and on two worker processes."""

import pathlib

import numpy as np
import pytest
from run_workers import run_workers

WORKER = pathlib.Path(__file__).with_name("distill_worker.py")


def run(folder, mode, **spec):
    return run_workers(WORKER, folder, mode, **spec)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    results = {}

    def get(cached):
        if cached not in results:
            folder = tmp_path_factory.mktemp("alone")
            (results[cached],) = run(folder, "none", cached=cached)
        return results[cached]

    return get


RUNS = [
    ("mirrored", False, {"steps_per_execution": 8}),
    ("mirrored", True, {"steps_per_execution": 8}),
    ("mirrored", False, {"jit_compile": True}),
    ("none", False, {"jit_compile": True, "steps_per_execution": 8}),
    ("workers", False, {}),
    ("workers", True, {"steps_per_execution": 8}),
]


@pytest.mark.slow
@pytest.mark.parametrize("mode, cached, options", RUNS)
def test_a_hundred_steps_choose_the_same_masks(alone, tmp_path, mode, cached, options):
    expected = alone(cached)
    assert (expected["masks"][0] != expected["masks"][-1]).sum() > 50
    results = run(tmp_path, mode, cached=cached, **options)
    for result in results:
        np.testing.assert_array_equal(result["masks"], expected["masks"])
        for name in ("loss", "accuracy", "val_loss"):
            np.testing.assert_allclose(result[name], expected[name], rtol=1e-3, err_msg=name)
        assert result["retraces"] == 0
        assert result["taught"] == 0
    np.testing.assert_array_equal(results[0]["weights"], results[-1]["weights"])
