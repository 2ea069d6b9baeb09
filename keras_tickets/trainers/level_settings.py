"""The settings that determine the masks and weights of pruning levels."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from keras_tickets._checks import check_integer
from keras_tickets.bases.basis import Basis, serialize
from keras_tickets.step import Step
from keras_tickets.trainers.levels import rates_of, remaining

REWINDS = ("weights", "statistics", "schedule")
OPTIMIZER_STATES = ("fresh", "restore")
DATA_ORDERS = ("same", "new")


@dataclasses.dataclass(frozen=True)
class LevelSettings:
    """How each level follows from the one before: the checked arguments of `RewindTrainer`.

    Attributes:
        rate: Share of the remaining weights that is pruned at each level.
        rates: `{path regex: rate}` for kernels with another rate; `None` if there are none.
        rewind_to: The step k.
        scope: "global" or "local".
        rewind: What returns to step k: some of `REWINDS`.
        optimizer_state: One of `OPTIMIZER_STATES`.
        data_order: One of `DATA_ORDERS`.
        seed: Seed of the draws of controls and of the order of arrays.
        basis: The basis whose coefficients are pruned; `None` for single weights.
    """

    rate: float
    rates: Mapping[str, float] | None
    rewind_to: Step
    scope: str
    rewind: tuple[str, ...]
    optimizer_state: str
    data_order: str
    seed: int
    basis: Basis | None = None

    def kernel_rates(self, paths: Sequence[str]) -> dict[str, float]:
        """The rate of each kernel.

        Raises:
            TypeError: `rates` is not a dict of numbers.
            ValueError: A rate is not in [0, 1), a regex is invalid or matches nothing.
        """
        return rates_of(list(paths), self.rate, self.rates)

    def counts(self, first: Mapping[str, int], level: int) -> dict[str, int] | int:
        """Number of weights in a level: per kernel, or in total with one global ranking.

        Args:
            first: `{kernel path: number of weights}` of level 0.
            level: The level.
        """
        if self.scope == "global":
            return remaining(sum(first.values()), self.rate, level)
        rates = self.kernel_rates(list(first))
        return {path: remaining(count, rates[path], level) for path, count in first.items()}

    def in_files(self) -> dict[str, Any]:
        """The settings as stores keep them, except the step k, which must be resolved first."""
        return {
            "rate": self.rate,
            "rates": dict(self.rates) if self.rates else self.rates,
            "scope": self.scope,
            "rewind": sorted(self.rewind),
            "optimizer_state": self.optimizer_state,
            "data_order": self.data_order,
            "seed": self.seed,
            **({} if self.basis is None else {"basis": serialize(self.basis)}),
        }


def levels_with_controls(values: int | Iterable[int] | None) -> list[int] | None:
    """The levels that get controls, checked; `None` for all."""
    if values is None:
        return None
    levels = values if isinstance(values, Iterable) else [values]
    return [check_integer("control_levels", level, low=0) for level in levels]


def planned_controls(
    levels: int, names: Iterable[str], at: Iterable[int] | None
) -> list[tuple[int, str]]:
    """The controls to train, each with its level.

    Args:
        levels: Number of prunings.
        names: Names of the controls.
        at: The levels that get them. None: all but level 0.
    """
    chosen = range(1, levels + 1) if at is None else at
    return [(level, name) for level in chosen if level <= levels for name in names]
