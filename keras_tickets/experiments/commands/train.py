"""`keras-tickets train`: trains, and prints what came out."""

import errno
import sys
from collections.abc import Callable, Iterable, Iterator

from absl import flags

from keras_tickets._optional import import_optional
from keras_tickets._tables import render_table
from keras_tickets._warnings import warn
from keras_tickets._workers.workers import Workers
from keras_tickets.experiments import restarts, strategies, train
from keras_tickets.experiments.commands.export import load
from keras_tickets.experiments.experiment import Experiment
from keras_tickets.experiments.work_directory import RESULT, WorkDirectory, settings

# What a full disk, a used-up quota and a limit on file sizes say.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def run(values: flags.FlagValues) -> int:
    """Trains, prints the table of kernels and the accuracy, and returns 0.

    Raises:
        WorkerLost: Another worker of a run on several machines is gone.
    """
    asked = []

    def prepare(strategy: str, replicas: int | None) -> None:
        asked.append(strategy)
        strategies.make(strategy, replicas)

    with restarts.lost_workers(lambda: asked == ["multi_worker"]):
        return _run(values, prepare)


def _run(values: flags.FlagValues, prepare: Callable[[str, int | None], None]) -> int:
    if not values.workdir:
        raise ValueError("--workdir is missing: name the directory of the run")
    experiment = experiment_of(values, prepare)
    from gin import config_str, operative_config_str

    def describe():
        config = operative_config_str()
        _warn_of_unused(values.gin_param, settings(config))
        return config

    verbose = 1 if sys.stdout.isatty() else 2
    workdir = WorkDirectory(values.workdir).path
    workers = Workers(experiment.distribution())
    if workers.writes and workers.count > 1:
        print(_shared(experiment, workers))
    try:
        summary = train.train(
            experiment, workdir, describe=describe, given=config_str(), verbose=verbose
        )
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise OSError(
            f"work directory {str(workdir)!r} cannot be written: {error.strerror}; the same "
            "command resumes once there is room"
        ) from error
    if not workers.writes:
        print(f"worker {workers.index} of {workers.count} is done; worker 0 wrote {workdir}")
        return 0
    try:
        levels = f"{_levels(summary['levels'])}\n\n" if "levels" in summary else ""
        results = "\n".join(_results(summary))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        file = str(workdir / "summary.json")
        raise ValueError(f"file {file!r} is damaged: it is no summary of a run") from error
    print(f"\n{experiment.plan_of(load(str(workdir / 'model.keras')))}\n\n{levels}{results}")
    for name in ("summary.json", "metrics.csv", "model.keras", "tensorboard"):
        print(f"{name}: {workdir / name}")
    return 0


def _warn_of_unused(parameters: Iterable[str], used: Iterable[str]) -> None:
    """Warns of settings on the command line that nothing in the run looks at."""
    ends = {tuple(name.split(".")[-2:]) for name in used}
    for parameter in parameters:
        for name in settings(parameter):
            path = tuple(name.rpartition("/")[2].split("."))
            if len(path) > 1 and path[-2:] not in ends:
                warn(f"--gin_param={parameter!r} changes nothing: this run does not use {path[-2]}")


def _shared(experiment: Experiment, workers: Workers) -> str:
    """How each batch is shared, in a line."""
    replicas = experiment.distribution().num_replicas_in_sync
    size = experiment.batch_size
    return (
        f"{workers.count} workers, {replicas} replicas: each batch of {size} is "
        f"{replicas} x {size // replicas} examples, at the learning rate as it is set"
    )


def experiment_of(
    values: flags.FlagValues,
    prepare: Callable[[str, int | None], object] = lambda strategy, replicas: None,
) -> Experiment:
    """The experiment that the flags describe.

    Args:
        values: The flags of a configuration.
        prepare: As in `read_experiment`.
    """
    if not values.gin_file and not values.gin_param:
        raise ValueError(
            "--gin_file is missing: name a configuration; `keras-tickets configs` lists those that "
            "come with the package"
        )
    import_optional("gin", "gin-config", "Configurations")
    from keras_tickets.experiments.gin_files import read_experiment

    return read_experiment(values.gin_file, values.gin_param, values.module, prepare)


def _results(summary: dict) -> Iterator[str]:
    """What the test set says, a line each: the accuracy, or all results where there is none."""
    results = {name: value for name, value in summary.items() if name.startswith(RESULT)}
    for name in ["test_accuracy"] if "test_accuracy" in results else results:
        yield f"{name.replace('_', ' ')}: {results[name]:.4f}"


def _levels(levels: list[dict]) -> str:
    """The table of a run's levels, with a column for each control."""
    controls = list(dict.fromkeys(name for row in levels for name in row.get("controls", {})))
    figure = "accuracy" if "test_accuracy" in levels[0] else "loss"
    held_out = f"val_{figure}" in levels[0]
    rows = []
    for row in levels:
        others = [row.get("controls", {}).get(name) for name in controls]
        figures = [f"{r[f'test_{figure}']:.4f}" if r else "" for r in (row, *others)]
        chosen_on = [f"{row[f'val_{figure}']:.4f}"] if held_out else []
        numbers = [str(row["level"]), f"{row['nonzeros']:,}", f"{row['density']:.2%}"]
        rows.append([*numbers, *chosen_on, *figures])
    names = ["validation", f"test {figure}"] if held_out else [f"test {figure}"]
    return render_table(["level", "weights", "density", *names, *controls], rows)
