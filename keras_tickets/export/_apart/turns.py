"""Functions timed against each other: they take turns in blocks of calls."""

import time
from collections.abc import Callable

BLOCK_SECONDS = 2e-3
WARM_UP_CALLS = 2


def take_turns(
    functions: dict[str, Callable], least: int, most: int, seconds: float
) -> dict[str, list[float]]:
    """Seconds of a call of each function, round by round; each round begins with another one.

    Args:
        functions: What to time, by name.
        least: The fewest rounds.
        most: The most rounds.
        seconds: After how long no further round is begun.
    """
    calls = {name: _calls_in_a_block(function) for name, function in functions.items()}
    names = list(functions)
    times: dict[str, list[float]] = {name: [] for name in names}
    until = time.perf_counter() + seconds
    turn = 0
    while turn < least or (turn < most and time.perf_counter() < until):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            times[name].append(_time(functions[name], calls[name]))
        turn += 1
    return times


def _calls_in_a_block(function: Callable) -> int:
    for _ in range(WARM_UP_CALLS):
        function()
    return max(1, int(BLOCK_SECONDS / _time(function, 1)))


def _time(function: Callable, calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        function()
    return (time.perf_counter() - start) / calls
