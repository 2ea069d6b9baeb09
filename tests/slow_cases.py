"""Cases of a parametrized test that only `make test-all` runs: others protect nearly as much."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest


def slow_unless(default: Callable[..., bool], cases: Iterable[Any]) -> list[Any]:
    """The cases for `parametrize`, marked slow but for those that `default` picks.

    Args:
        default: Whether the default tests have a case; takes what the case holds.
        cases: Single values, or tuples of the values of several parameters.
    """
    marked = []
    for case in cases:
        values = case if isinstance(case, tuple) else (case,)
        marks = [] if default(*values) else [pytest.mark.slow]
        marked.append(pytest.param(*values, marks=marks))
    return marked
