"""What a sweep shows while it runs: one table in a terminal, a line for each event elsewhere."""

import contextlib
import time
from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from keras_tickets._tables import plain, shorten
from keras_tickets.experiments.run_table import result_text
from keras_tickets.experiments.sweeps.jobs import DONE, ELSEWHERE, FAILED, LEFT, RUNNING, Job
from keras_tickets.experiments.time_texts import duration
from keras_tickets.experiments.work_directory import WorkDirectory

_EVERY = 1.0  # seconds between two looks at progress
_COLORS = {RUNNING: "cyan", DONE: "green", FAILED: "red", ELSEWHERE: "yellow"}


class Display:
    """Shows jobs.

    Args:
        jobs: The jobs.
        at_once: How many run at once.
        console: Where. None: stdout.
    """

    def __init__(self, jobs: Sequence[Job], at_once: int, console: Console | None = None):
        self._jobs, self._at_once = jobs, at_once
        self._console = console or Console(highlight=False)
        self._live: Live | None = None
        self._looked = float("-inf")

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Keeps the table on the terminal as long as it lasts."""
        if not self._console.is_terminal:
            if any(job.status == LEFT for job in self._jobs):
                print(overview(self._jobs, self._at_once, {}), flush=True)
            yield
            return
        with Live(console=self._console, auto_refresh=False, transient=True) as self._live:
            yield

    def tell(self, job: Job | None) -> None:
        """Shows that the status of a job has changed, or only how far everything is."""
        if self._live is None:
            if job is not None and job.status != ELSEWHERE:
                print(self._line(job), flush=True)
            return
        if job is not None or time.monotonic() - self._looked > _EVERY:
            self._looked = time.monotonic()
            self._live.update(self._table(), refresh=True)

    def _line(self, job: Job) -> str:
        settled = sum(one.status in (DONE, FAILED) for one in self._jobs)
        line = f"[{settled} of {len(self._jobs)}] {job.status:<8} {job.name}"
        if job.status == FAILED:
            return f"{line}: {plain(job.reason or '')}"
        if job.status == DONE and job.result:
            seconds = seconds_left(
                self._jobs, self._at_once, progress_of(self._jobs), time.monotonic()
            )
            left = f"; about {duration(seconds)} left" if seconds else ""
            return f"{line}: {result_text(job.result, with_name=True)}{left}"
        return line

    def _table(self) -> Group:
        shares = progress_of(self._jobs)
        width = self._console.width
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False, width=width)
        table.add_column("run", no_wrap=True, ratio=1)
        table.add_column("", no_wrap=True)
        table.add_column("", no_wrap=True, justify="right")
        for job in shown_first(self._jobs)[: max(self._console.height - 7, 3)]:
            table.add_row(
                Text(shorten(job.name, max(width - 54, min(width - 31, 24), 4))),
                Text(job.status, style=_COLORS.get(job.status, "")),
                Text(self._cell(job, shares)),  # no markup, whatever a reason has in brackets
            )
        return Group(table, Text(overview(self._jobs, self._at_once, shares)))

    def _cell(self, job: Job, shares: dict[str, float]) -> str:
        if job.status == DONE and job.result:
            return result_text(job.result, with_name=True)
        if job.status == FAILED:
            return shorten(plain(job.reason or ""), max(min(self._console.width - 44, 36), 15))
        if job.name in shares:
            done = int(10 * shares[job.name])
            return f"{'━' * done}{'╌' * (10 - done)} {shares[job.name]:4.0%}"
        return ""


def shown_first(jobs: Sequence[Job]) -> list[Job]:
    """What runs, what failed, what is finished, and what is left."""
    order = (RUNNING, ELSEWHERE, FAILED, DONE, LEFT)
    return sorted(jobs, key=lambda job: order.index(job.status))


def progress_of(jobs: Sequence[Job]) -> dict[str, float]:
    """How far each of those that run is, as a share, by name."""
    shares = {}
    for job in jobs:
        if job.status in (RUNNING, ELSEWHERE):
            step, steps = WorkDirectory(job.path).progress() or (0, 1)
            shares[job.name] = min(step / max(steps, 1), 1.0)
    return shares


def overview(jobs: Sequence[Job], at_once: int, shares: dict[str, float]) -> str:
    """How many are what, how long the rest takes, and the best of what is finished."""
    order = (DONE, RUNNING, ELSEWHERE, FAILED, LEFT)
    counts = [(status, sum(job.status == status for job in jobs)) for status in order]
    line = f"{len(jobs)} runs: " + ", ".join(f"{n} {status}" for status, n in counts if n)
    seconds = seconds_left(jobs, at_once, shares, time.monotonic())
    if seconds:
        line += f"; about {duration(seconds)} left"
    best = best_of(jobs)
    return f"{line}\n{best}" if best else line


def best_of(jobs: Sequence[Job]) -> str:
    """The finished run with the highest accuracy on the test set, or else the lowest loss."""
    found = [(job.name, job.result) for job in jobs if job.result]
    values: list[tuple[float, str]]
    if by_accuracy := all(result.metric == "accuracy" for _, result in found):
        values = [(-(result.value or 0.0), name) for name, result in found]
    else:
        values = [(result.loss, name) for name, result in found if result.loss is not None]
    if not values:
        return ""
    value, name = min(values)
    what = f"accuracy {-value:.4f}" if by_accuracy else f"loss {value:.4f}"
    so_far = "" if all(job.status in (DONE, FAILED) for job in jobs) else " so far"
    return f"best{so_far} on the test set: {what}, {name}"


def seconds_left(
    jobs: Sequence[Job], at_once: int, shares: dict[str, float], now: float
) -> float | None:
    """How long what runs and what is left will take; None before anything says so.

    Args:
        jobs: The jobs.
        at_once: How many run at once.
        shares: How far those that run are.
        now: The time, as `began` of a job.
    """
    took = [job.seconds for job in jobs if job.status == DONE and job.seconds]
    running = [job for job in jobs if job.status == RUNNING and job.began is not None]
    if not took:
        took = [
            (now - job.began) / shares[job.name]
            for job in running
            if job.began is not None and shares.get(job.name, 0.0) > 0.05
        ]
    waiting = sum(job.status == LEFT for job in jobs)
    if not took or not waiting + len(running):
        return None
    runs = waiting + sum(1 - shares.get(job.name, 0.0) for job in running)
    return runs * sum(took) / len(took) / min(at_once, waiting + len(running))
