"""The same training without a strategy, under XLA, on two replicas and on two worker processes."""

import pathlib

import numpy as np
import pytest
from method_recipes import METHODS
from run_workers import run_workers

TRAIN = pathlib.Path(__file__).with_name("train_worker.py")
RECORDED_WORKER = pathlib.Path(__file__).with_name("recorded_worker.py")
ADAM = {"inner": "Adam", "config": {"learning_rate": 0.01}}


def run(folder, mode, script=TRAIN, **spec):
    return run_workers(script, folder, mode, **ADAM, **spec)


def train(folder, mode, methods, **spec):
    """Trains by each method, in the same processes: `{method: [what each process saved]}`."""
    results = run(folder, mode, methods=methods, **spec)
    return {
        method: [
            {k.removeprefix(f"{method}: "): v for k, v in r.items() if k.startswith(f"{method}: ")}
            for r in results
        ]
        for method in methods
    }


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """One step per call, no strategy, no XLA: what the others are compared with."""
    results = {}

    def get(methods):
        if missing := [method for method in methods if method not in results]:
            trained = train(tmp_path_factory.mktemp("alone"), "none", missing)
            results.update({method: result for method, (result,) in trained.items()})
        return results

    return get


PRUNING = ["GradualMagnitude", "StraightThrough", "DNW", "TopKAST"]
VARIANTS = ["GradualMagnitude, global", "GradualMagnitude, regrow"]
RUNS = [
    (["RigL"], "mirrored", {"steps_per_execution": 8}),
    (["RigL"], "workers", {}),
    (["RigL"], "none", {"jit_compile": True, "steps_per_execution": 8}),
    (["RigL"], "none", {"steps_per_execution": 8}),
    (["RigL"], "none", {"jit_compile": True}),
    (["RigL"], "mirrored", {}),
    (["RigL"], "mirrored", {"jit_compile": True}),
    (["RigL"], "mirrored", {"jit_compile": True, "steps_per_execution": 8}),
    (["RigL"], "workers", {"steps_per_execution": 8}),
    (["RigL"], "workers", {"jit_compile": True}),
    (["SNFS"], "none", {"jit_compile": True, "steps_per_execution": 8}),
    (["SNFS"], "mirrored", {"steps_per_execution": 8}),
    (["SNFS"], "workers", {}),
    (["SET"], "none", {"jit_compile": True, "steps_per_execution": 8}),
    (["SET"], "mirrored", {"steps_per_execution": 8}),
    (["SET"], "workers", {"steps_per_execution": 8}),
    (["RigL, initial"], "mirrored", {"steps_per_execution": 8}),
    (["RigL, initial"], "workers", {}),
    (PRUNING, "none", {"jit_compile": True, "steps_per_execution": 8}),
    (PRUNING, "mirrored", {"steps_per_execution": 8}),
    (PRUNING, "workers", {}),
    (VARIANTS, "none", {"jit_compile": True}),
    (VARIANTS, "mirrored", {}),
    (VARIANTS, "workers", {"steps_per_execution": 8}),
    ([None], "mirrored", {"steps_per_execution": 8}),
    ([None], "workers", {}),
]


@pytest.mark.slow
@pytest.mark.parametrize("methods, mode, options", RUNS)
def test_the_first_hundred_steps_choose_the_same_masks(alone, tmp_path, methods, mode, options):
    trained = train(tmp_path, mode, methods, **options)
    for method, results in trained.items():
        expected = alone(methods)[method]
        changed = (expected["masks"][0] != expected["masks"][-1]).sum()
        assert changed > 100 if method else changed == 0
        for result in results:
            np.testing.assert_array_equal(result["masks"], expected["masks"], err_msg=method)
            np.testing.assert_allclose(result["accuracy"], expected["accuracy"], atol=0.005)
            np.testing.assert_allclose(result["evaluated"], expected["evaluated"], rtol=1e-3)
            np.testing.assert_allclose(result["predicted"], expected["predicted"], atol=1e-3)
            assert result["iterations"] == 100
            assert result["retraces"] == 0
            leaks = method in ("GradualMagnitude, regrow", "StraightThrough", "DNW", "TopKAST")
            assert leaks == (result["leaked"] > 0)
        np.testing.assert_array_equal(results[0]["weights"], results[-1]["weights"])


RECORDED = [
    pytest.param(method, marks=() if method == "RigL" else pytest.mark.slow)
    for method in METHODS
    if method not in ("Static", "SNFS, fixed")
]


@pytest.mark.parametrize(
    "mode, options",
    [
        pytest.param("none", {"jit_compile": True}, marks=pytest.mark.slow),
        ("mirrored", {}),
        pytest.param("workers", {}, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("method", RECORDED)
def test_recorded_inputs_give_the_same_masks_everywhere(tmp_path, method, mode, options):
    for found in run(tmp_path, mode, RECORDED_WORKER, method=method, **options):
        expected = found["expected_masks"]
        changes = (expected[1:] != expected[:-1]).any(axis=(1, 2))
        assert changes.sum() >= 10
        np.testing.assert_array_equal(found["masks"], expected)
        np.testing.assert_array_equal(found["kernels"], found["expected_kernels"])


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["mirrored", "none", "workers"])
def test_an_overflow_on_one_replica_stops_the_step_on_all(tmp_path, mode):
    """Example 20 * 64 overflows float16 in each epoch; the update due at step 20 waits."""
    spec = {"policy": "mixed_float16", "poison_from": 20}
    results = train(tmp_path, mode, ["RigL"], **spec)["RigL"]
    for result in results:
        skipped = 100 - result["iterations"]
        assert 4 <= skipped <= 8
        assert np.isfinite(result["weights"]).all()
        assert result["leaked"] == 0
        assert (result["masks"][0] != result["masks"][-1]).sum() > 50
    np.testing.assert_array_equal(results[0]["masks"], results[-1]["masks"])
    np.testing.assert_array_equal(results[0]["weights"], results[-1]["weights"])
