"""The pipeline: one graph of jobs, the longest way first, on whatever executor there is."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Any, Protocol

from tqdm import tqdm

from hpmkd_edge.errors import Interrupted
from hpmkd_edge.progress import hidden

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A unit of work.

    Attributes:
        name: unique in its graph.
        call: `call(context, stop, *arguments)`, where *context* is the executor's. It asks *stop* now and then, and
            when that says so saves its state and raises Interrupted. For worker processes it is a function of a module.
        after: the names of jobs that must be finished; what they made is found on disk.
        estimate_s: seconds that it is expected to take; None if unknown.
        kind, units: of work, for an estimate from measured rates, which then stands in for *estimate_s*.
    """

    name: str
    call: Callable[..., object]
    arguments: tuple[Any, ...] = ()
    after: tuple[str, ...] = ()
    estimate_s: float | None = None
    kind: str | None = None
    units: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What became of a job: its result, or its own error; *seconds* of the call alone."""

    name: str
    seconds: float
    result: object = None
    error: BaseException | None = None


class Executor(Protocol):
    """Where jobs run: each worker takes one at a time."""

    @property
    def workers(self) -> int:
        """How many jobs can be under way at once."""
        ...

    def begin(self, job: Job) -> None:
        """Give *job* to a worker that is free."""
        ...

    def ended(self, stop: Callable[[], bool]) -> Sequence[Ended]:
        """Wait a moment, and return the jobs that ended in it; jobs under way are told when *stop* says so."""
        ...

    def close(self) -> None:
        """End every job at once. A later job starts afresh."""
        ...


@dataclass(slots=True)
class Rates:
    """Seconds a unit of each kind of work, learned from the jobs that finish. Of one executor: threads matter.

    Attributes:
        measured: for each kind the units done, and the seconds that they took.
    """

    measured: dict[str, tuple[float, float]] = field(default_factory=dict)

    def learn(self, kind: str, units: float, seconds: float) -> None:
        """Add what one job took."""
        done, took = self.measured.get(kind, (0.0, 0.0))
        self.measured[kind] = (done + units, took + seconds)

    def estimate(self, job: Job) -> float | None:
        """Return the seconds that *job* will take: by the measured rate, else its own estimate."""
        done, took = self.measured.get(job.kind or "", (0.0, 0.0))
        return took / done * job.units if done > 0 else job.estimate_s


def run_jobs(
    jobs: Sequence[Job],
    executor: Executor,
    *,
    rates: Rates | None = None,
    stop: Callable[[], bool] = lambda: False,
    label: str = "jobs",
) -> dict[str, object]:
    """Run all *jobs*, each after those that it waits for, and return their results by name.

    HPM-KD (arXiv 2512.09886) gives a task to argmin_w(queue_time_w + estimated_time). A worker here has no queue, so
    that is the first one free. It takes, of the jobs that are ready, the one with the longest way to the end: its own
    estimate and that of the longest line of jobs behind it. Jobs of unknown length go
    first, the one with the most units before the others.

    Args:
        rates: grows with what is measured.
        stop: asked between jobs, and by the jobs.
        label: for the progress bar and the sentences.

    Raises:
        ValueError: a name is there twice or unknown, jobs wait for each other, or an estimate is negative.
        Interrupted: *stop* said so, and all that was under way has ended.
        Exception: a job's own, of the first that failed. No other was begun after it, and those under way were asked
            to stop.
    """
    graph = _Graph(jobs, Rates() if rates is None else rates)
    results: dict[str, object] = {}
    under_way: dict[str, float] = {}
    errors: list[tuple[str, BaseException]] = []

    def stopping() -> bool:
        return bool(errors) or stop()

    ready: list[str] = []
    frame = "{desc}: {n_fmt}/{total_fmt} |{bar}| {elapsed}{postfix}"
    with tqdm(total=len(jobs), desc=label, bar_format=frame, disable=hidden(), leave=False) as bar:
        try:
            while True:
                ready += graph.newly_ready()
                ready.sort(key=graph.urgency)
                while ready and len(under_way) < executor.workers and not stopping():
                    executor.begin(graph.jobs[ready[0]])
                    under_way[ready.pop(0)] = time.monotonic()
                if not under_way:
                    break
                bar.set_postfix_str(", ".join(under_way) + graph.outlook(results, under_way, executor.workers))
                for end in executor.ended(stopping):
                    del under_way[end.name]
                    if end.error is not None:
                        log.info("%s: %s ended after %.1f s by %r", label, end.name, end.seconds, end.error)
                        errors.append((end.name, end.error))
                        continue
                    log.info("%s: %s took %.1f s", label, end.name, end.seconds)
                    results[end.name] = end.result
                    graph.finish(end)
                    bar.update()
        except BaseException:
            executor.close()
            raise
    failures = [(name, error) for name, error in errors if not isinstance(error, Interrupted)]
    for name, error in failures[1:]:
        log.error("%s: %s failed too: %s: %s", label, name, type(error).__name__, error)
    if failures:
        raise failures[0][1]
    if len(results) < len(jobs):
        said = f" {errors[0][1]}" if errors else ""
        raise Interrupted(f"{label}: stopped with {len(results)} of {len(jobs)} jobs finished.{said}")
    return {job.name: results[job.name] for job in jobs}


class _Graph:
    """Which jobs can begin, and how long the way is from each to the end."""

    def __init__(self, jobs: Iterable[Job], rates: Rates) -> None:
        self.jobs: dict[str, Job] = {}
        self._rates = rates
        for job in jobs:
            if job.name in self.jobs:
                raise ValueError(f"two jobs are called {job.name!r}; each needs a name of its own.")
            if (job.estimate_s is not None and not job.estimate_s >= 0) or not job.units >= 0:
                raise ValueError(
                    f"{job.name} has an estimate of {job.estimate_s} s and {job.units} units; 0 or more is needed."
                )
            self.jobs[job.name] = job
        self._position = {name: number for number, name in enumerate(self.jobs)}
        self._behind: dict[str, list[str]] = {name: [] for name in self.jobs}
        for job in self.jobs.values():
            for before in job.after:
                if before not in self.jobs:
                    raise ValueError(f"{job.name} waits for {before!r}, which is no job of this graph.")
                self._behind[before].append(job.name)
        waits = {job.name: job.after for job in self.jobs.values()}
        try:
            self._last_first = list(TopologicalSorter(waits).static_order())[::-1]
        except CycleError as error:
            raise ValueError(f"jobs wait for each other: {' -> '.join(error.args[1])}.") from error
        self._sorter = TopologicalSorter(waits)
        self._sorter.prepare()
        self._way = self._measure()

    def _measure(self) -> dict[str, float]:
        way: dict[str, float] = {}
        for name in self._last_first:
            own = self._rates.estimate(self.jobs[name])
            way[name] = (math.inf if own is None else own) + max(
                (way[next_] for next_ in self._behind[name]), default=0
            )
        return way

    def newly_ready(self) -> tuple[str, ...]:
        return self._sorter.get_ready() if self._sorter.is_active() else ()

    def urgency(self, name: str) -> tuple[float, float, int]:
        """Order ready jobs: the longest way first, of equal or unknown ones the most units, then as they were given."""
        return (-self._way[name], -self.jobs[name].units, self._position[name])

    def finish(self, end: Ended) -> None:
        job = self.jobs[end.name]
        if job.kind is not None and job.units > 0:
            self._rates.learn(job.kind, job.units, end.seconds)
            self._way = self._measure()
        self._sorter.done(end.name)

    def outlook(self, results: dict[str, object], under_way: dict[str, float], workers: int) -> str:
        """Say about how long the rest takes: no less than its longest way, nor than its sum over the workers."""
        total, longest, now = 0.0, 0.0, time.monotonic()
        for name in self.jobs.keys() - results.keys():
            estimate = self._rates.estimate(self.jobs[name])
            if estimate is None:
                return ""
            passed = min(estimate, now - under_way[name]) if name in under_way else 0.0
            total, longest = total + estimate - passed, max(longest, self._way[name] - passed)
        return f", about {max(total / workers, longest):.0f} s left"
