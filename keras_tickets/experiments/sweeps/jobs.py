"""The runs of a sweep with what has become of each; and running those that are left."""

import collections
import dataclasses
import pathlib
import time
from collections.abc import Callable, Sequence

from keras_tickets._files.run_files import CONFIG
from keras_tickets.experiments.run_states import FINISHED, RunState, state_of
from keras_tickets.experiments.sweeps.processes import Process
from keras_tickets.experiments.sweeps.record import Record
from keras_tickets.experiments.sweeps.resources import Resources
from keras_tickets.experiments.sweeps.sweep import LOGS, Run
from keras_tickets.experiments.work_directory import WorkDirectory

LEFT, RUNNING, DONE, FAILED = "left", "running", "finished", "failed"
ELSEWHERE = "elsewhere"
_TICK = 0.2  # seconds between looks at what runs


@dataclasses.dataclass
class Job:
    """A run and what has become of it.

    Attributes:
        run: The run.
        path: Its work directory.
        status: "left", "running", "finished", "failed", or "elsewhere": another process trains it.
        reason: Why it failed, in one line.
        result: What its directory says, once it is finished.
        began: When its process was started.
        seconds: Time that its process took, once it has ended.
    """

    run: Run
    path: pathlib.Path
    status: str = LEFT
    reason: str | None = None
    result: RunState | None = None
    began: float | None = None
    seconds: float | None = None

    @property
    def name(self) -> str:
        """Name of the run."""
        return self.run.name

    def state(self) -> RunState:
        """What its directory says; with its reason where it failed before there was one."""
        state = state_of(self.path)
        return (
            dataclasses.replace(state, state=FAILED, reason=self.reason) if self.reason else state
        )

    def fail(self, reason: str) -> None:
        """Makes it a failed one, in its directory too unless it is of another run."""
        self.status, self.reason = FAILED, reason
        directory = WorkDirectory(self.path)
        failed_before = directory.failure() is not None and not (self.path / CONFIG).exists()
        if failed_before or not self.path.exists():
            directory.fail(reason)


def make_jobs(runs: Sequence[Run], directory: pathlib.Path, record: Record) -> list[Job]:
    """The runs with their directories; those on record are finished.

    Args:
        runs: The runs.
        directory: Directory of the sweep.
        record: What is finished.
    """
    jobs = [Job(run, directory / run.name) for run in runs]
    for job in jobs:
        if record.has(job.run) and (state := state_of(job.path)).state == FINISHED:
            job.status, job.result = DONE, state
    return jobs


class Pool:
    """Runs jobs in processes, so many at once; what one of them does stops no other.

    Args:
        directory: Directory of the sweep.
        at_once: How many.
        resources: What they share.
        environment: Variables that are set.
        record: Gets those that end well.
    """

    def __init__(self, directory, at_once: int, resources: Resources, environment, record: Record):
        self._directory, self._at_once = directory, at_once
        self._resources, self._environment, self._record = resources, environment, record
        self._active: dict[int, tuple[Job, Process]] = {}

    def run(self, jobs: Sequence[Job], tell: Callable[[Job | None], None]) -> None:
        """Runs those that are left; whatever interrupts it ends them.

        Args:
            jobs: The jobs; those that are not left stay as they are.
            tell: Called with each job whose status has changed, and with None from time to time.
        """
        waiting = collections.deque(job for job in jobs if job.status == LEFT)
        try:
            while waiting or self._active:
                for slot, (job, process) in list(self._active.items()):
                    if process.poll() is not None:
                        del self._active[slot]
                        self._settle(job, process)
                        if job.status == ELSEWHERE:
                            waiting.append(job)
                        tell(job)
                self._start(waiting, tell)
                tell(None)
                time.sleep(_TICK)
        finally:
            processes = [process for _, process in self._active.values()]
            for process in processes:
                process.end()
            for process in processes:
                process.wait()

    def _start(self, waiting, tell) -> None:
        """Starts what there is room for, but for runs that another process trains."""
        for job in list(waiting):
            free = [slot for slot in range(self._at_once) if slot not in self._active]
            if not free:
                return
            used = WorkDirectory(job.path).is_in_use()
            before, job.status = job.status, ELSEWHERE if used else RUNNING
            if not used:
                waiting.remove(job)
                log = self._directory / LOGS / f"{job.name}.log"
                given = self._resources.environment(free[0], self._at_once, self._environment)
                self._active[free[0]] = job, Process(job.run, job.path, log, given)
                job.began = time.monotonic()
            if job.status != before:
                tell(job)

    def _settle(self, job: Job, process: Process) -> None:
        """Gives a job whose process has ended its status."""
        assert job.began is not None
        if process.poll():
            if WorkDirectory(job.path).is_in_use():
                job.status = ELSEWHERE
            else:
                job.fail(process.reason())
            return
        job.seconds, state = time.monotonic() - job.began, state_of(job.path)
        if state.state != FINISHED:
            job.fail(state.reason or f"it ended without a result; see {process.log}")
            return
        job.status, job.result = DONE, state
        self._record.add(job.run)
