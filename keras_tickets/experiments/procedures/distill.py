"""`Distill`: a dense teacher, a ticket of it, and the ticket's training on its soft labels."""

import dataclasses
from collections.abc import Mapping, Sequence

from keras_tickets import data
from keras_tickets._kernels.paths import weight_paths
from keras_tickets.experiments.procedures.tickets import level_summary, run_levels
from keras_tickets.experiments.work_directory import WorkDirectory
from keras_tickets.model import strip, with_full_masks
from keras_tickets.trainers import DistillationTrainer, RewindTrainer, cache_logits
from keras_tickets.trainers.rewind import REWINDS
from keras_tickets.trainers.teachers import load_teachers


@dataclasses.dataclass
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

    extendable = ()

    def __post_init__(self):
        if not 0 < self.sparsity < 1:
            raise ValueError(f"`sparsity` must be in (0, 1). Received: sparsity={self.sparsity!r}")
        if isinstance(self.levels, bool) or not isinstance(self.levels, int) or self.levels < 1:
            raise ValueError(f"`levels` must be a positive integer. Received: {self.levels!r}")

    def make(self, experiment, directory: WorkDirectory) -> RewindTrainer:
        """The compiled trainer of the student; that of the levels before it is kept beside."""
        described = data.describe(experiment.dataset)
        if self.cached and (described.augment or described.streamed):
            raise ValueError(
                "`cached` is for data in memory without augmentation. Received: cached=True with "
                f"data set {experiment.dataset!r}"
            )
        with experiment.strategy_scope():
            dense = experiment.dense_model()

            def network():
                return with_full_masks(dense, experiment.filters)

            self._teachers = load_teachers(self.teacher or strip(network()))
            student = DistillationTrainer(
                network(),
                None if self.cached else self._teachers,
                temperature=self.temperature,
                alpha=self.alpha,
                reduction=self.reduction,
                end=self.end,
            )
            self._before = self._trainer(network(), self.levels - 1, directory)
            trainer = self._trainer(student, self.levels, directory)
            experiment.compile(self._before)
            experiment.compile(trainer)
        return trainer

    def run(self, experiment, trainer, dataset, directory: WorkDirectory, verbose) -> dict:
        """Trains what is missing and saves the student; returns the summary."""
        run_levels(experiment, self._before, directory, dataset, dataset.train, verbose)
        if self.teacher is None:
            trained = self._before.level_store.trained(0).weights
            for path, weight in weight_paths(self._teachers[0]).items():
                weight.assign(trained[path])
        batches = self._with_logits(dataset, directory) if self.cached else dataset.train
        run_levels(experiment, trainer, directory, dataset, batches, verbose)
        student = trainer.model.student
        directory.save_model(student)
        summary = level_summary(experiment, student, "distill", trainer.results, directory)
        return {**summary, "teacher_test_accuracy": summary["levels"][0]["test_accuracy"]}

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
            store=directory.path,
        )

    def _with_logits(self, dataset, directory):
        """Training batches, from an epoch on, that bring the teacher's logits."""
        file = directory.path / "teacher_logits.npz"
        logits = cache_logits(file, self._teachers, dataset.train_once())
        targets = {"teacher_logits": logits.lookup_all(dataset.train_once())}
        return lambda epoch: dataset.train(epoch, targets=targets)
