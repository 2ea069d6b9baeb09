"""Sparse storage on several replicas: the training of one, with the same weights on all."""

import pathlib

import numpy as np
import pytest
from run_workers import run_workers

pytestmark = pytest.mark.slow
WORKER = pathlib.Path(__file__).with_name("stored_worker.py")


@pytest.mark.parametrize("options", [{}, {"steps_per_execution": 5}])
@pytest.mark.parametrize("mode", ["mirrored", "workers"])
@pytest.mark.parametrize("method", ["Static", "SET", "RigL"])
def test_replicas_train_the_same_weights_as_one(tmp_path, method, mode, options):
    for found in run_workers(WORKER, tmp_path, mode, method=method, **options):
        masks, loss = found["alone: masks"], found["alone: loss"]
        changed = (masks[0] != masks[-1]).sum()
        assert changed > 50 if method != "Static" else changed == 0
        assert loss[-1] < 0.8 * loss[0]
        np.testing.assert_array_equal(found["masks"], masks)
        np.testing.assert_allclose(found["loss"], loss, rtol=1e-4)
        weights = found["alone: weights"]
        np.testing.assert_allclose(found["weights"], weights, rtol=1e-2, atol=1e-4)
        if mode == "mirrored":
            np.testing.assert_array_equal(found["replica 0"], found["replica 1"])


def test_numba_is_refused_on_several_replicas(tmp_path):
    with pytest.raises(AssertionError, match='engine "numba" works on one replica'):
        run_workers(WORKER, tmp_path, "mirrored", method="Static", engine="numba")
