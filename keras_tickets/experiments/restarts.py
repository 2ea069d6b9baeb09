"""Starting this process again where another worker is gone, so that a run goes on with both."""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import NoReturn

MOST = 20
_COUNT = "KERAS_TICKETS_RESTARTS"
_PAUSE = 2.0  # seconds, in which the others notice too


class WorkerLost(RuntimeError):
    """A worker is gone, and with it what the others computed together."""


@contextlib.contextmanager
def lost_workers(several: Callable[[], bool]) -> Iterator[None]:
    """Turns what TensorFlow says of a worker that is gone into `WorkerLost`.

    Args:
        several: Called after an error; returns whether several workers train.
    """
    import tensorflow as tf

    kinds = (
        tf.errors.UnavailableError,
        tf.errors.AbortedError,
        tf.errors.CancelledError,
        tf.errors.DeadlineExceededError,
        tf.errors.FailedPreconditionError,
    )
    try:
        yield
    except tf.errors.OpError as error:
        if several() and (isinstance(error, kinds) or "Collective ops is aborted" in str(error)):
            raise WorkerLost("another worker is gone, or was started again") from error
        raise


def may_restart() -> bool:
    """Whether this process, as its user started it, has not been started again too often."""
    return int(os.environ.get(_COUNT, "0")) < MOST


def restart() -> NoReturn:
    """Replaces this process by a new one of the same command."""
    os.environ[_COUNT] = str(int(os.environ.get(_COUNT, "0")) + 1)
    sys.stdout.flush()
    sys.stderr.flush()
    time.sleep(_PAUSE)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
