"""`Sweep`: the runs that a grid, a list or random draws make, each with a name of its own."""

import dataclasses
import hashlib
import itertools
import math
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from keras_tickets.experiments.sweeps.axes import GIN_FILE, Range, gin_text, label

SEED, NAME = "train.seed", "name"
LOGS, RECORD = "logs", "sweep.json"  # what a sweep keeps beside its runs
MOST_DRAWS = 100_000
LONGEST_NAME = 200  # bytes: file systems have 255, and a log adds its ending


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of a sweep.

    Attributes:
        name: Its name, which is that of its directory.
        gin_files: Its configurations; later ones override earlier ones.
        gin_params: Its settings, such as "train.seed=1", which override the files.
        modules: Modules that are imported first.
    """

    name: str
    gin_files: tuple[str, ...]
    gin_params: tuple[str, ...]
    modules: tuple[str, ...] = ()

    def arguments(self, directory: Any) -> list[str]:
        """The arguments of `keras-tickets` that train it in a directory."""
        return [
            "train",
            *(f"--module={name}" for name in self.modules),
            *(f"--gin_file={name}" for name in self.gin_files),
            *(f"--gin_param={text}" for text in self.gin_params),
            f"--workdir={directory}",
        ]


@dataclasses.dataclass(frozen=True)
class Sweep:
    """What is tried.

    Attributes:
        gin_files: Configurations of every run.
        gin_params: Settings of every run.
        modules: Modules that every run imports.
        listed: A list: settings, `{name: value}`, of each; with "name", if given. Empty: one
            without settings.
        grid: `{name: values}`: every combination is run, with each of the list.
        seeds: Seeds that each is run with. None: the one of the configuration.
        choose: So many combinations are drawn at random. None: all are run.
        choose_seed: Seed of what is drawn; more draws only add to fewer.
        directory: Where configurations are looked for first.

    Raises:
        ValueError: There is nothing to run, two runs have the same name, or a setting is given
            twice.

    Example:

    ```python
    from keras_tickets.experiments.sweeps.sweep import Sweep

    sweep = Sweep(("digits/rigl.gin",), grid={"train.sparsity": [0.8, 0.9]}, seeds=(0, 1))
    assert [run.name for run in sweep.runs()] == [
        "sparsity=0.8_seed=0",
        "sparsity=0.8_seed=1",
        "sparsity=0.9_seed=0",
        "sparsity=0.9_seed=1",
    ]
    ```
    """

    gin_files: tuple[str, ...] = ()
    gin_params: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    listed: Sequence[Mapping[str, Any]] = ()
    grid: Mapping[str, Sequence | Range] = dataclasses.field(default_factory=dict)
    seeds: tuple[int, ...] | None = None
    choose: int | None = None
    choose_seed: int = 0
    directory: pathlib.Path = pathlib.Path()

    def runs(self) -> list[Run]:
        """The runs, in order: of the list, then of the grid, the seeds innermost."""
        self._check()
        made: dict[str, Run] = {}
        for listed in self.listed or [{}]:
            for combination in self._combinations():
                for seed in self.seeds or [None]:
                    seeded = {} if seed is None else {SEED: seed}
                    run = self._run({**listed, **combination, **seeded})
                    if run.name in made:
                        raise ValueError(
                            f"two runs have the same name, {run.name!r}: give one a `name` of its "
                            "own, or leave one out"
                        )
                    if run.name in ("", LOGS, RECORD):
                        raise ValueError(
                            f"a run of the list needs a `name` of its own. Received: {run.name!r}"
                        )
                    made[run.name] = run
        return list(made.values())

    def _check(self):
        if not self.listed and not self.grid and not self.seeds:
            raise ValueError("the sweep is empty: it needs a grid, a list of runs, or seeds")
        if not self.gin_files and not self.gin_params and not self._files_vary():
            raise ValueError(
                "the runs have no configuration: name one as `gin_file`; `keras-tickets configs` "
                "lists those that come with the package"
            )
        around = [*self.grid, *([SEED] if self.seeds else [])]
        for listed in self.listed or [{}]:
            names = [*around, *listed]
            if twice := [name for name in names if names.count(name) > 1]:
                raise ValueError(
                    f"{twice[0]!r} is given twice: in two of the grid, the list and the seeds"
                )

    def _files_vary(self) -> bool:
        return GIN_FILE in self.grid or any(GIN_FILE in listed for listed in self.listed)

    def _combinations(self) -> Iterator[dict[str, Any]]:
        """All combinations of the grid, or those that are drawn."""
        ranges = [name for name, values in self.grid.items() if isinstance(values, Range)]
        if self.choose is None:
            if ranges:
                raise ValueError(
                    f"{ranges[0]!r} is a range, of which values can only be drawn: say how many, "
                    "with `choose`"
                )
            lists = [values for values in self.grid.values() if not isinstance(values, Range)]
            for values in itertools.product(*lists):
                yield dict(zip(self.grid, values, strict=True))
            return
        count = math.prod(
            len(values) for values in self.grid.values() if not isinstance(values, Range)
        )
        if not self.grid or not ranges and self.choose > count:
            raise ValueError(
                f"`choose` must be at most the {count} combinations of the grid. Received: "
                f"choose={self.choose}"
            )
        yield from self._drawn()

    def _drawn(self) -> Iterator[dict[str, Any]]:
        """Different combinations, each drawn by its number: more of them begin with the same."""
        found: list[dict[str, Any]] = []
        for index in range(MOST_DRAWS):
            drawn = {
                name: _pick(values, _share(self.choose_seed, index, name))
                for name, values in self.grid.items()
            }
            if drawn not in found:
                found.append(drawn)
                yield drawn
            if len(found) == self.choose:
                return
        raise ValueError(
            f"`choose`: of {MOST_DRAWS:,} draws only {len(found):,} are different. Received: "
            f"choose={self.choose}"
        )

    def _run(self, settings: Mapping[str, Any]) -> Run:
        varied = {name: value for name, value in settings.items() if name != NAME}
        given = settings.get(NAME)
        outside = (*self.grid, *([SEED] if self.seeds else ()))
        labels = [label(n, v) for n, v in varied.items() if not given or n in outside]
        name = "_".join([*([given] if given else []), *labels])
        if len(encoded := name.encode()) > LONGEST_NAME:
            digest = hashlib.sha256(encoded).hexdigest()[:8]
            name = f"{encoded[: LONGEST_NAME - 9].decode(errors='ignore')}-{digest}"
        files = [*self.gin_files, *([varied.pop(GIN_FILE)] if GIN_FILE in varied else [])]
        texts = [f"{setting}={gin_text(setting, value)}" for setting, value in varied.items()]
        found = tuple(_beside(file, self.directory) for file in files)
        return Run(name, found, (*self.gin_params, *texts), self.modules)


def _beside(name: str, directory: pathlib.Path) -> str:
    """The path of a configuration in the directory; otherwise its name."""
    file = directory / name
    return os.path.relpath(file) if file.is_file() and not os.path.isabs(name) else name


def _share(seed: int, index: int, name: str) -> float:
    """A number in [0, 1) from a stable hash."""
    digest = hashlib.sha256(f"{seed}/{index}/{name}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def _pick(values: Sequence | Range, share: float) -> Any:
    return values.at(share) if isinstance(values, Range) else values[int(share * len(values))]
