"""Settings for all tests; what they share is importable, in the processes that they start too."""

import gc
import os
import pathlib
import sys

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

TESTS = pathlib.Path(__file__).parent
SHARED = [str(TESTS), str(TESTS.parent / "tools")]
sys.path[:0] = [path for path in SHARED if path not in sys.path]
os.environ["PYTHONPATH"] = os.pathsep.join([*SHARED, os.environ.get("PYTHONPATH", "")])


@pytest.fixture(scope="session", autouse=True)
def garbage_is_collected_seldom():
    """Tracing makes so many objects that Python would look through all of them time and again."""
    import keras_tickets  # noqa: F401

    gc.freeze()
    gc.set_threshold(50_000, 10, 10)


@pytest.fixture(scope="session", autouse=True)
def few_calls_for_each_latency():
    """Exports measure time for seconds; what they measure, and how, is the same with few calls."""
    from keras_tickets.export import litert_races, measure

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure, "MAX_SECONDS", 0.0)
        patch.setattr(litert_races, "MAX_SECONDS", 0.0)
        yield


@pytest.fixture(scope="session", autouse=True)
def graphs_as_traced(request):
    """Leaves graphs as they are traced in the default tests, which saves time.

    `make test-all` optimizes them, as users do.
    """
    import tensorflow as tf

    if "not slow" in request.config.option.markexpr:
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
