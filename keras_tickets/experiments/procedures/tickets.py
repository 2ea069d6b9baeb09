"""`Tickets`: lottery tickets by iterative magnitude pruning with rewinding."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from keras_tickets.bases import Basis
from keras_tickets.experiments.procedures.levels import level_summary, run_levels
from keras_tickets.experiments.procedures.procedure import Run
from keras_tickets.experiments.work_directory import WorkDirectory
from keras_tickets.model import with_full_masks
from keras_tickets.plan import SparsityPlan, plan
from keras_tickets.trainers import RewindTrainer
from keras_tickets.trainers.rewind import REWINDS

if TYPE_CHECKING:
    from keras_tickets.experiments.experiment import Experiment


@dataclasses.dataclass(frozen=True)
class Tickets:
    """Trains, prunes and rewinds the experiment's dense model, level by level.

    The levels are kept in the work directory, and more can be added to a finished one.

    Attributes:
        levels: As in `kt.trainers.RewindTrainer`, like all that follow.
        rate: Share of the remaining weights that goes at each level.
        rewind_to: The step k.
        basis: What is pruned: an object of `kt.bases`, or `None` for single weights.
        scope: "global" or "local".
        rates: `{path regex: rate}` with `scope="local"`.
        rewind: What returns to step k.
        optimizer_state: "fresh" or "restore".
        data_order: "same" or "new".
        control: Names of controls.
        control_levels: The levels that get controls.
    """

    levels: int
    rate: float = 0.2
    rewind_to: int | float | str = "0it"
    basis: Basis | None = None
    scope: str = "global"
    rates: Mapping[str, float] | None = None
    rewind: Sequence[str] = REWINDS
    optimizer_state: str = "fresh"
    data_order: str = "same"
    control: str | Sequence[str] | None = None
    control_levels: Sequence[int] | None = None

    def plan(self, experiment: "Experiment") -> SparsityPlan:
        return plan(experiment.dense_model(), 0.0, filters=experiment.filters)

    def extends(self, name: str, before: Any, now: Any) -> bool:
        """Whether levels or controls are added, and none is taken away."""
        if name == "tickets.levels":
            return now > before
        if name == "tickets.control":
            return _several(before) <= _several(now)
        if name == "tickets.control_levels":
            return now is None or before is not None and _several(before) <= _several(now)
        return False

    def make(self, experiment: "Experiment", directory: WorkDirectory) -> RewindTrainer:
        """The compiled trainer, whose store is the work directory."""
        with experiment.strategy_scope():
            network = with_full_masks(experiment.dense_model(), filters=experiment.filters)
            trainer = RewindTrainer(
                network, store=str(directory.path), seed=experiment.seed, **vars(self)
            )
            experiment.compile(trainer)
        return trainer

    def run(self, made: RewindTrainer, run: Run) -> dict:
        run_levels(made, run, run.dataset.train)
        summary = level_summary([made], run, "tickets")
        run.directory.save_model(made.model)
        return summary


def _several(values) -> set:
    """The values of a setting that is one, several or none."""
    if values is None:
        return set()
    return set(values) if isinstance(values, list | tuple) else {values}
