import pathlib

import pytest
from run_workers import run_workers

WORKER = pathlib.Path(__file__).with_name("differing_worker.py")
NAMED = {
    "masks": ("masks", "weights"),  # Weights off the masks are 0.
    "weights": ("weights",),
    "rate": ("configuration of the optimizer",),
    "loss": ("loss",),
    "steps": ("epochs and steps per epoch",),
}


@pytest.fixture(scope="module")
def messages(tmp_path_factory):
    return run_workers(WORKER, tmp_path_factory.mktemp("workers"), "workers", cases=list(NAMED))


@pytest.mark.slow
def test_equal_workers_train(tmp_path):
    results = run_workers(WORKER, tmp_path, "workers", cases=["nothing"])
    assert [str(found["nothing"]) for found in results] == ["", ""]


@pytest.mark.parametrize("case", list(NAMED))
def test_a_worker_that_differs_is_an_error_on_all(case, messages):
    first, second = (str(found[case]) for found in messages)
    assert first == second
    differing = first.split("What differs from worker 0: ")[1].split(". Build")[0].split("; ")
    assert differing == [f"{name} (worker 1)" for name in NAMED[case]]
