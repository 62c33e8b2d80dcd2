"""The loop that times: warm up, then run the models in turn, one clock reading before and after each."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.bench.protocol import Sampling
from hpmkd_edge.bench.runtimes.runtime import Feeds, Session

Clock = Callable[[], int]  # nanoseconds, never backwards


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A loaded model and the one batch that it is timed on."""

    session: Session
    feeds: Feeds


@dataclass(frozen=True, slots=True, kw_only=True)
class Warmup:
    """How a model warmed up.

    Attributes:
        settled: whether two blocks' medians came near each other before the limit.
    """

    runs: int
    ms: float
    settled: bool


def time_run(turn: Turn, clock: Clock = perf_counter_ns) -> int:
    """Return the nanoseconds of one run."""
    began = clock()
    turn.session.run(turn.feeds)
    return clock() - began


def warm_up(turn: Turn, sampling: Sampling, clock: Clock = perf_counter_ns) -> Warmup:
    """Run the model until the medians of two blocks differ by less than `settled`, or the limit is over.

    A block is half of the least warm-up, in runs and in seconds, so that the first two make the least.
    """
    began = clock()
    limit = began + round(sampling.warmup_limit_seconds * 1e9)
    runs, last, settled = 0, 0.0, False
    while not settled and clock() < limit:
        block = _block(turn, sampling, limit, clock)
        median = float(np.median(block))
        settled = runs > 0 and abs(median - last) < sampling.settled * median
        runs, last = runs + len(block), median
    return Warmup(runs=runs, ms=(clock() - began) / 1e6, settled=settled)


def _block(turn: Turn, sampling: Sampling, limit: int, clock: Clock) -> list[int]:
    end = clock() + round(sampling.warmup_seconds * 1e9 / 2)
    samples = [time_run(turn, clock)]
    while (2 * len(samples) < sampling.warmup_runs or clock() < end) and clock() < limit:
        samples.append(time_run(turn, clock))
    return samples


def sample(turns: Sequence[Turn], sampling: Sampling, clock: Clock = perf_counter_ns) -> tuple[NDArray[np.int64], ...]:
    """Run all models round after round until both minima of this process are reached.

    What disturbs the machine then disturbs all of them alike, so that ratios repeat where times do not.

    Args:
        turns: warmed up.
        sampling: its minima are those of all processes together.
        clock: of `time_run`.

    Returns:
        Nanoseconds, [R] for each model, in the order of *turns*; R is the same for all.
    """
    least_runs = -(-sampling.least_runs // sampling.processes)
    most = max(least_runs, sampling.most_samples // sampling.processes)
    kept = np.empty((most, len(turns)), np.int64)
    with _collector_off():
        end = clock() + round(sampling.least_seconds / sampling.processes * 1e9)
        rounds, filled, stride = 0, 0, 1
        while rounds < least_runs or clock() < end:
            row = [time_run(turn, clock) for turn in turns]
            if rounds % stride == 0:
                if filled == most:
                    filled, stride = _thin(kept), 2 * stride
                if rounds % stride == 0:
                    kept[filled] = row
                    filled += 1
            rounds += 1
    return tuple(np.ascontiguousarray(column) for column in kept[:filled].T)


def _thin(kept: NDArray[Any]) -> int:
    """Keep every second row, from the first, and return how many there are."""
    half = kept[::2].copy()
    kept[: len(half)] = half
    return len(half)


@contextmanager
def _collector_off() -> Iterator[None]:
    """Keep the garbage collector out of the times."""
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
