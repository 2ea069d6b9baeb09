"""Work on all cores, by threads of Python: for code that runs without its global lock."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

_helpers: ThreadPoolExecutor | None = None


def share(task: Callable[[int], object], count: int, threads: int) -> None:
    """Calls `task(0)` … `task(count - 1)`, each once, by the caller and helpers.

    Whoever is done takes the next: a thread that is held up does less, and nobody waits for it.

    Args:
        task: A part of the work, by its number.
        count: Number of parts.
        threads: How many threads may share it, the caller's included.
    """
    turns = iter(range(count))

    def work():
        for turn in turns:
            task(turn)

    helpers = [_pool().submit(work) for _ in range(min(threads, count) - 1)]
    work()
    for helper in helpers:
        # One that has not begun would find nothing to do.
        if not helper.cancel():
            helper.result()


def _pool():
    global _helpers
    if _helpers is None:
        _helpers = ThreadPoolExecutor(os.cpu_count(), "keras_tickets")
    return _helpers


def _forget():
    """In a forked process the threads do not exist."""
    global _helpers
    _helpers = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
