"""Sparse storage on several replicas: the training of one, with the same weights on all."""

import pathlib

import numpy as np
import pytest
from run_workers import run_workers
from slow_cases import slow_unless

WORKER = pathlib.Path(__file__).with_name("stored_worker.py")


@pytest.mark.parametrize(
    "method, mode, options",
    slow_unless(
        lambda method, mode, options: (method, mode) == ("RigL", "mirrored") and options,
        [
            (method, mode, options)
            for method in ("Static", "SET", "RigL")
            for mode in ("mirrored", "workers")
            for options in ({}, {"steps_per_execution": 5})
        ],
    ),
)
def test_replicas_train_the_same_weights_as_one(tmp_path, method, mode, options):
    def run(mode, **options):
        results = run_workers(WORKER, tmp_path, mode, methods=[method], **options)
        return [{k.removeprefix(f"{method}: "): v for k, v in r.items()} for r in results]

    (expected,) = run("none", engine="tensorflow")
    changed = (expected["masks"][0] != expected["masks"][-1]).sum()
    assert changed > 50 if method != "Static" else changed == 0
    assert expected["loss"][-1] < 0.8 * expected["loss"][0]
    for result in run(mode, **options):
        np.testing.assert_array_equal(result["masks"], expected["masks"])
        np.testing.assert_allclose(result["loss"], expected["loss"], rtol=1e-4)
        np.testing.assert_allclose(result["weights"], expected["weights"], rtol=1e-2, atol=1e-4)
        if mode == "mirrored":
            np.testing.assert_array_equal(result["replica 0"], result["replica 1"])


@pytest.mark.slow
def test_numba_is_refused_on_several_replicas(tmp_path):
    with pytest.raises(AssertionError, match='engine "numba" works on one replica'):
        run_workers(WORKER, tmp_path, "mirrored", methods=["Static"], engine="numba")
