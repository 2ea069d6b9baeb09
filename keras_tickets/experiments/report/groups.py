"""Runs that differ in their seed alone, as one row: mean and spread of what came out."""

import dataclasses
import itertools
import json
import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from keras_tickets.experiments.report.collect import FoundRun
from keras_tickets.experiments.work_directory import RESULT

SEED = "train.seed"
# What tells runs apart where they have no configuration.
RESULTS = ("dataset", "model", "method", "nonzeros", "steps", "test_metrics")
# Where a column of the table, or nothing that was set, tells the difference.
SHOWN_ELSEWHERE = ("train.sparsity", "distill.sparsity", "sparsity")
# A metric with one of these in its name is better if it is lower.
LOWER = ("loss", "error", "perplexity", "bits", "divergence", "hinge", "crossentropy", "poisson")


@dataclasses.dataclass
class Group:
    """Runs with the same settings but for the seed.

    Attributes:
        runs: The runs, in the order of their seeds.
        settings: What was set, `{name: value}`.
        differs: Those settings in which it differs from others of the same data set, model and
            method.
    """

    runs: list[FoundRun]
    settings: dict[str, Any]
    differs: dict[str, Any] = dataclasses.field(default_factory=dict)

    def field(self, name: str) -> Any:
        """A value of the summary that is the same in all runs, but for the seed."""
        return self.runs[0].summary.get(name)

    @property
    def task(self) -> tuple[str, str, str]:
        """Data set, model and metric: what must be the same for results to be compared."""
        return str(self.field("dataset")), str(self.field("model")), self.metric

    @property
    def metric(self) -> str:
        """Name of the metric of the task: accuracy, or the first that is not the loss."""
        names = [
            name.removeprefix(RESULT) for name in self.runs[0].summary if name.startswith(RESULT)
        ]
        others = [name for name in names if name != "loss"]
        return "accuracy" if "accuracy" in names else (others or names)[0]

    @property
    def results(self) -> list[float]:
        """The metric of each run on the test set."""
        return self.values(RESULT + self.metric)

    def values(self, name: str) -> list[float]:
        """A number of each run's summary, of those that have it."""
        found: list[Any] = [run.summary.get(name) for run in self.runs]
        return [float(value) for value in found if is_number(value)]

    def mean(self, name: str) -> float | None:
        """The mean of a number of the summaries; `None` where there is none."""
        values = self.values(name)
        return statistics.fmean(values) if values else None

    @property
    def bytes(self) -> int | None:
        """Bytes of all weights, kernels with zeros as their other weights and a bit a position."""
        return self.sizes.get("bit_mask", self._bytes_of_older())

    @property
    def sizes(self) -> dict[str, int]:
        """`{format: bytes}` of all weights, the mean of the runs that know it."""
        found: dict[str, list[float]] = {}
        for run in self.runs:
            for name, size in (run.summary.get("sizes") or {}).items():
                if is_number(size):
                    found.setdefault(name, []).append(size)
        return {name: round(statistics.fmean(sizes)) for name, sizes in found.items()}

    def _bytes_of_older(self) -> int | None:
        """The same of float32 weights, where the summary has no sizes."""
        weights, nonzeros = self.mean("weights"), self.mean("nonzeros")
        if weights is None or nonzeros is None:
            return None
        zeros, share = weights - nonzeros, self.mean("sparsity_all_weights")
        total = zeros / share if share else weights
        return round(4 * (total - zeros) + (weights / 8 if zeros else 0))

    @property
    def name(self) -> str:
        """The method, and in what else it differs."""
        words = in_words(self.differs_beyond_columns)
        return f"{self.field('method')} ({words})" if words else str(self.field("method"))

    @property
    def differs_beyond_columns(self) -> dict[str, Any]:
        """The settings that differ and that no column of the table shows."""
        return {n: v for n, v in self.differs.items() if n not in SHOWN_ELSEWHERE}


def spread(values: Sequence[float]) -> float | None:
    """The standard deviation of a sample; `None` of fewer than two values."""
    return statistics.stdev(values) if len(values) > 1 else None


def is_better_lower(metric: str) -> bool:
    """Whether a metric, by its name, is better if it is lower."""
    return any(word in metric for word in LOWER)


def is_share(metric: str) -> bool:
    """Whether a metric, by its name, is a share that is written in percent."""
    return "accuracy" in metric or metric in ("auc", "precision", "recall", "f1_score")


def group(runs: Iterable[FoundRun], ignore: Sequence[str] = ()) -> list[Group]:
    """The finished runs by their settings.

    Args:
        runs: The runs.
        ignore: Settings that may differ within a group, such as the file of a ticket that each seed
            has of its own.

    Returns:
        The groups, by data set, model, method and sparsity.
    """
    groups: dict[str, Group] = {}
    for run in (run for run in runs if run.finished):
        kept = {n: v for n, v in run.config.items() if n != SEED and n not in ignore}
        what = {name: run.summary.get(name) for name in RESULTS}
        what["test_metrics"] = [name for name in run.summary if name.startswith(RESULT)]
        key = {name: what[name] for name in ("dataset", "model", "method", "test_metrics")}
        key |= kept or what
        groups.setdefault(_key(key), Group([], kept)).runs.append(run)
    for one in groups.values():
        one.runs.sort(key=lambda run: (str(type(run.seed)), run.seed, str(run.path)))
        _note_repeated(one.runs)
    found = list(groups.values())
    for one in found:
        alike = [other for other in found if _kind(other) == _kind(one)]
        one.differs = {name: one.settings.get(name) for name in differing(alike)}
    return sorted(found, key=_order)


def _note_repeated(runs: Sequence[FoundRun]) -> None:
    """Says of runs with the same seed, next to each other, that they are the same."""
    for before, run in itertools.pairwise(runs):
        if run.seed == before.seed:
            text = f"it has the settings and the seed of {str(before.path)!r}; both are counted"
            run.notes.append(text)


def differing(groups: Sequence[Group]) -> list[str]:
    """The settings in which groups differ, those that one of them does not have too."""
    names = dict.fromkeys(name for one in groups for name in one.settings)
    return [n for n in names if len({_key(one.settings.get(n)) for one in groups}) > 1]


def in_words(settings: dict[str, Any]) -> str:
    """Settings as they are written in a gin file, on one line."""
    return ", ".join(f"{name}={in_gin(value)}" for name, value in settings.items())


def in_gin(value: Any) -> str:
    """A value as it is written in a gin file."""
    return value if isinstance(value, str) and value[:1] in ("@", "%") else repr(value)


def _order(one: Group) -> tuple:
    return (*one.task, str(one.field("method")), one.mean("sparsity") or 0.0, one.name)


def _kind(one: Group) -> tuple:
    return (*one.task, one.field("method"))


def _key(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=repr)


def is_number(value: Any) -> bool:
    """Whether a value of a summary is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
