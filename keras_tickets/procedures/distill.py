"""`Distill`: a dense teacher, a ticket of it, and the ticket's training on its soft labels."""

import dataclasses
from collections.abc import Mapping, Sequence

from keras_tickets.model import sparsify, strip
from keras_tickets.procedures.tickets import level_summary, run_levels
from keras_tickets.trainers import DistillationTrainer, RewindTrainer, cache_logits
from keras_tickets.trainers.rewind import REWINDS
from keras_tickets.work_directory import WorkDirectory


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
        rewind_to: As in `kt.trainers.RewindTrainer`, like the three that follow.
        rewind: What returns to step k.
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
        """The compiled trainer of the levels before the last."""
        with experiment.strategy_scope():
            self._dense = experiment.dense_model()
            trainer = self._trainer(self._network(experiment), self.levels - 1, directory)
            experiment.compile(trainer)
        return trainer

    def run(self, experiment, trainer, directory: WorkDirectory, verbose) -> dict:
        """Trains what is missing and saves the student; returns the summary."""
        dataset = experiment.load_data()
        run_levels(experiment, trainer, directory, dataset, dataset.train, verbose)
        with experiment.strategy_scope():
            teacher, data = self._teacher_and_data(trainer, dataset, directory)
            student = DistillationTrainer(
                self._network(experiment),
                teacher,
                temperature=self.temperature,
                alpha=self.alpha,
                reduction=self.reduction,
                end=self.end,
            )
            students = self._trainer(student, self.levels, directory)
            experiment.compile(students)
        run_levels(experiment, students, directory, dataset, data, verbose)
        directory.save_model(student.student)
        summary = level_summary(experiment, student.student, "distill", students.results, directory)
        return {**summary, "teacher_test_accuracy": summary["levels"][0]["test_accuracy"]}

    def _network(self, experiment):
        return sparsify(self._dense, {"": 0.0}, mask="ones", filters=experiment.filters)

    def _trainer(self, model, levels, directory):
        return RewindTrainer(
            model,
            levels=levels,
            rate=1 - (1 - self.sparsity) ** (1 / self.levels),
            rewind_to=self.rewind_to,
            rewind=self.rewind,
            scope=self.scope,
            rates=self.rates,
            store=directory.path,
        )

    def _teacher_and_data(self, trainer, dataset, directory):
        """The teacher, or `None` and training data that brings its logits."""
        teacher = self.teacher
        if teacher is None:
            teacher = strip(trainer.level_store.trained(0).apply(trainer.model))
        if not self.cached:
            return teacher, dataset.train
        logits = cache_logits(directory.path / "teacher_logits.npz", teacher, dataset.train_once())
        targets = {"teacher_logits": logits.lookup_all(dataset.train_once())}
        return None, lambda epoch: dataset.train(epoch, targets=targets)
