"""Finished runs, grouped by whatever differs between them but the seed."""

import dataclasses
import json
import pathlib
from collections.abc import Iterable, Sequence

# What tells runs apart where a summary has no configuration, as older ones.
RESULTS = ("dataset", "model", "method", "nonzeros", "steps")
SEED = "train.seed"


@dataclasses.dataclass
class Group:
    """Runs that differ in their seed alone.

    Attributes:
        settings: `{name: value}` of all of them.
        runs: `{seed: summary}`.
        differs: Those settings in which the group differs from others with the same results asked
            for: `{name: value}`.
    """

    settings: dict
    runs: dict[int, dict]
    differs: dict = dataclasses.field(default_factory=dict)


def read(directories: Iterable[pathlib.Path]) -> list[dict]:
    """The summaries of all finished runs below some directories, with their `file`."""
    files = sorted({file for d in directories for file in d.rglob("summary.json")})
    return [{**json.loads(file.read_text(encoding="utf-8")), "file": str(file)} for file in files]


def group(summaries: Iterable[dict], ignore: Sequence[str] = ()) -> list[Group]:
    """The runs by their settings.

    Args:
        summaries: Summaries as `read` returns them.
        ignore: Names of settings that may differ within a group, such as the file of a ticket that
            each seed has of its own.

    Raises:
        ValueError: Two runs have the same settings and the same seed.
    """
    groups: dict[str, Group] = {}
    for run in summaries:
        settings = {name: run.get(name) for name in RESULTS} | run.get("config", {})
        kept = {n: v for n, v in settings.items() if n != SEED and n not in ignore}
        found = groups.setdefault(json.dumps(kept, sort_keys=True), Group(kept, {}))
        if run["seed"] in found.runs:
            files = [found.runs[run["seed"]].get("file"), run.get("file")]
            seeds = sorted([*found.runs, run["seed"]])
            raise ValueError(
                f"several runs of the same settings have the same seed: {' and '.join(files)}; "
                f"the runs found have the seeds {seeds}"
            )
        found.runs[run["seed"]] = run
    for one in groups.values():
        alike = [other for other in groups.values() if _results(one) == _results(other)]
        names = dict.fromkeys(name for other in alike for name in other.settings)
        one.differs = {
            name: one.settings.get(name)
            for name in names
            if len({json.dumps(other.settings.get(name)) for other in alike}) > 1
        }
    return sorted(groups.values(), key=lambda g: (*map(str, _results(g)), str(g.differs)))


def _results(group):
    return [group.settings[name] for name in RESULTS]


def in_words(differs: dict) -> str:
    """Settings as they are written in a gin file, on one line."""
    return ", ".join(
        f"{name}={value if isinstance(value, str) and value[:1] in '@%' else repr(value)}"
        for name, value in differs.items()
    )
