"""`keras-tickets sweep`: runs what is missing of a grid, a list or random draws."""

import os
import pathlib
import shlex
from collections.abc import Sequence

from absl import flags

from keras_tickets._files.home import expand_home
from keras_tickets._files.locks import locked
from keras_tickets._files.run_files import CONFIG
from keras_tickets.experiments.run_table import render_runs
from keras_tickets.experiments.sweeps import slurm
from keras_tickets.experiments.sweeps.check import refused
from keras_tickets.experiments.sweeps.display import Display, overview
from keras_tickets.experiments.sweeps.jobs import DONE, FAILED, LEFT, Job, Pool, make_jobs
from keras_tickets.experiments.sweeps.record import Record
from keras_tickets.experiments.sweeps.resources import find_resources
from keras_tickets.experiments.sweeps.sweep_file import read_sweep

LOCK = ".keras_tickets_sweep"


def run(values: flags.FlagValues) -> int:
    """Runs a sweep, or says what it would run; returns 1 if any run failed, otherwise 0.

    Raises:
        ValueError: The sweep is not valid, or gin cannot read any of its runs.
        OSError: Another process runs it, or a file cannot be read or written.
    """
    if not values.workdir:
        raise ValueError("--workdir is missing: name the directory of the sweep")
    directory = expand_home(values.workdir)
    if (directory / CONFIG).exists():
        raise ValueError(
            f"directory {str(directory)!r} is that of a run, and not of a sweep: choose another "
            "--workdir"
        )
    runs = read_sweep(values).runs()
    record = Record(directory)
    jobs = make_jobs(runs, directory, record)
    if values.jobs is not None and values.jobs < 1:
        raise ValueError(f"--jobs must be a positive integer. Received: --jobs={values.jobs}")
    left = [job for job in jobs if job.status == LEFT]
    reasons = refused([job.run for job in left])
    if reasons and len(reasons) == len(runs):
        raise ValueError(next(iter(reasons.values())))
    if values.slurm or values.submit:
        return _slurm(values, [job for job in left if job.name not in reasons], directory)
    if values.dry_run:
        return _list(jobs, reasons)
    return _run(jobs, reasons, directory, record, values.jobs)


def _slurm(values: flags.FlagValues, left: Sequence[Job], directory: pathlib.Path) -> int:
    text = slurm.script([job.run for job in left], directory, values.jobs, values.slurm_option)
    print(slurm.submit(text, directory) if values.submit else text.rstrip())
    return 0


def _list(jobs: Sequence[Job], reasons: dict[str, str]) -> int:
    for job in jobs:
        print(f"{job.name}: {reasons.get(job.name) or job.status}")
        if job.status == LEFT:
            print(f"  {shlex.join(['keras-tickets', *job.run.arguments(job.path)])}")
    return 1 if reasons else 0


def _run(jobs, reasons, directory: pathlib.Path, record: Record, at_once: int | None) -> int:
    def refuse():
        raise OSError(f"the sweep in {str(directory)!r} is being run by another process")

    resources = find_resources()
    left = sum(job.status == LEFT for job in jobs) - len(reasons)
    at_once = min(at_once or resources.jobs(), max(left, 1))
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(
            f"directory {str(directory)!r} of the sweep cannot be made: {error.strerror}"
        ) from error
    with locked(directory / LOCK, busy=refuse):
        for job in jobs:
            if job.name in reasons:
                job.fail(reasons[job.name])
        display = Display(jobs, at_once)
        pool = Pool(directory, at_once, resources, os.environ, record)
        with display.shown():
            for job in jobs:
                if job.status == FAILED:
                    display.tell(job)
            pool.run(jobs, display.tell)
    print(f"\n{render_runs([job.state() for job in jobs], directory)}")
    print(overview(jobs, at_once, {}))
    return 0 if all(job.status == DONE for job in jobs) else 1
