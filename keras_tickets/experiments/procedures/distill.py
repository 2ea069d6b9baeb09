"""`Distill`: a dense teacher, a ticket of it, and the ticket's training on its soft labels."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from keras_tickets import data
from keras_tickets._checks import check_flag, check_integer, check_number
from keras_tickets._kernels.paths import weight_paths
from keras_tickets.experiments.procedures.levels import level_summary, run_levels
from keras_tickets.experiments.procedures.procedure import Run
from keras_tickets.experiments.task import CLASSES, kind_of
from keras_tickets.experiments.work_directory import WorkDirectory
from keras_tickets.model import SparseModel, strip, with_full_masks
from keras_tickets.plan import SparsityPlan, plan
from keras_tickets.trainers import DistillationTrainer, RewindTrainer, cache_logits
from keras_tickets.trainers.rewind import REWINDS
from keras_tickets.trainers.teachers import load_teachers

if TYPE_CHECKING:
    from keras_tickets.experiments.experiment import Experiment


@dataclasses.dataclass(frozen=True)
class Distillation:
    """What `Distill` trains.

    Attributes:
        before: Trainer of the levels before the student's.
        student: Trainer of the student's level.
        teachers: The networks that give soft labels.
    """

    before: RewindTrainer
    student: RewindTrainer
    teachers: Sequence[keras.Model]


@dataclasses.dataclass(frozen=True)
class Distill:
    """Trains the dense model, prunes it, rewinds, and retrains what is left on soft labels.

    Level 0 is the teacher, trained on labels like the levels before the last; the last level is
    the student. What it starts from is what `RewindTrainer` would: `rewind_to="0it"` are the
    initial weights, a later step those of that step, `rewind=("schedule",)` the final ones with
    learning-rate rewinding.

    Attributes:
        sparsity: Share of zeros in the student, in (0, 1).
        levels: Prunings in which it is reached; 1 is one-shot.
        rewind_to: As in `kt.trainers.RewindTrainer`, like the four that follow.
        rewind: What returns to step k.
        optimizer_state: "fresh" or "restore"; Adam with k > 0 needs the latter.
        scope: "global" or "local".
        rates: `{path regex: rate}` with `scope="local"`.
        teacher: File or files of other teachers, as in `kt.trainers.DistillationTrainer`. None: the
            dense model of level 0.
        temperature: As in `kt.trainers.DistillationTrainer`, like the three that follow.
        alpha: Share of soft labels; 0 trains the same student on labels alone.
        reduction: Of the soft labels.
        end: When soft labels end.
        cached: Whether the teacher's logits are computed once, for data without augmentation.
    """

    sparsity: float
    levels: int = 1
    rewind_to: int | float | str = "0it"
    rewind: Sequence[str] = REWINDS
    optimizer_state: str = "fresh"
    scope: str = "global"
    rates: Mapping[str, float] | None = None
    teacher: str | Sequence[str] | None = None
    temperature: float = 4.0
    alpha: float = 0.9
    reduction: str = "batchmean"
    end: int | float | str | None = None
    cached: bool = False

    def __post_init__(self):
        check_number("sparsity", self.sparsity, "(0, 1)")
        check_integer("levels", self.levels, low=1)
        check_flag("cached", self.cached)

    def plan(self, experiment: "Experiment") -> SparsityPlan:
        return plan(experiment.dense_model(), 0.0, filters=experiment.filters)

    def extends(self, name: str, before: Any, now: Any) -> bool:
        return False

    def make(self, experiment: "Experiment", directory: WorkDirectory) -> Distillation:
        """The compiled trainers, whose store is the work directory."""
        source = experiment.source
        if kind_of(source) != CLASSES:
            raise ValueError(
                "`distill` needs a data set of classes, for which there are soft labels. Received: "
                f"{source.name!r}, whose targets are {kind_of(source)}"
            )
        if self.cached and not source.repeats:
            raise ValueError(
                "`cached` is for data in memory without augmentation. Received: cached=True with "
                f"data set {source.name!r}"
            )
        with experiment.strategy_scope():
            dense = experiment.dense_model()

            def network() -> SparseModel:
                return with_full_masks(dense, filters=experiment.filters)

            teachers = load_teachers(strip(network()) if self.teacher is None else self.teacher)
            student = DistillationTrainer(
                network(),
                None if self.cached else teachers,
                temperature=self.temperature,
                alpha=self.alpha,
                reduction=self.reduction,
                end=self.end,
            )
            before = self._trainer(network(), self.levels - 1, directory)
            trainer = self._trainer(student, self.levels, directory)
            experiment.compile(before)
            experiment.compile(trainer)
        return Distillation(before, trainer, teachers)

    def run(self, made: Distillation, run: Run) -> dict:
        run_levels(made.before, run, run.dataset.train, last=made.student)
        if self.teacher is None:
            trained = made.before.level_store.trained(0).weights
            for path, weight in weight_paths(made.teachers[0]).items():
                weight.assign(trained[path])
        batches = self._with_logits(made.teachers, run) if self.cached else run.dataset.train
        run_levels(made.student, run, batches)
        summary = level_summary([made.before, made.student], run, "distill")
        run.directory.save_model(made.student.model.student)
        taught = summary["levels"][0]
        results = {name: value for name, value in taught.items() if name.startswith("test_")}
        return {**summary, **{f"teacher_{name}": value for name, value in results.items()}}

    def _trainer(self, model, levels, directory):
        return RewindTrainer(
            model,
            levels=levels,
            rate=1 - (1 - self.sparsity) ** (1 / self.levels),
            rewind_to=self.rewind_to,
            rewind=self.rewind,
            optimizer_state=self.optimizer_state,
            scope=self.scope,
            rates=self.rates,
            store=str(directory.path),
        )

    def _with_logits(
        self, teachers: Sequence[keras.Model], run: Run
    ) -> Callable[[int], tf.data.Dataset]:
        """Training batches, from an epoch on, that bring the teacher's logits."""
        dataset = run.dataset
        assert isinstance(dataset, data.Dataset)  # `make` refuses data that is streamed
        file = run.directory.path / "teacher_logits.safetensors"
        logits = run.workers.chief_first(lambda: cache_logits(file, teachers, dataset.train_once()))
        targets = {"teacher_logits": logits.lookup_all(dataset.train_once())}
        return lambda epoch: dataset.train(epoch, targets=targets)
