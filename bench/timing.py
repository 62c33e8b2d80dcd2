"""The loop that times: warm up, then run the models in turn, one clock reading before and after each run."""

from __future__ import annotations

import gc
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.bench.protocol import Sampling

Clock = Callable[[], int]  # nanoseconds, never backwards
Run = Callable[[], object]  # a loaded model's answer to the one batch that it is timed on

# A turn lasts so long, all models together: short beside what disturbs a machine, long beside a model of microseconds.
TURN_NS: Final = 5_000_000
# Whoever ran before has left the caches full of its own weights: what comes first is not kept, one run at least. A
# model of 29 µs was 2.5 % slower behind the reference than behind itself with one run before, and not with seven.
LEAD_IN_NS: Final = 200_000
# Where a run is longer than this, filling the caches again is lost in it.
LONG_NS: Final = 5_000_000
LOOKS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Warmup:
    """How a model warmed up.

    Attributes:
        settled: whether two blocks' medians came near each other before the limit.
    """

    runs: int
    ms: float
    settled: bool


def time_run(run: Run, clock: Clock = perf_counter_ns) -> int:
    """Return the nanoseconds of one run."""
    began = clock()
    run()
    return clock() - began


def warm_up(run: Run, sampling: Sampling, clock: Clock = perf_counter_ns) -> Warmup:
    """Run the model until the medians of two blocks differ by less than `settled`, or the limit is over.

    A block is half of the least warm-up, in runs and in seconds, so that the first two make the least.
    """
    began = clock()
    limit = began + round(sampling.warmup_limit_seconds * 1e9)
    runs, last, settled = 0, 0.0, False
    while not settled and clock() < limit:
        block = _block(run, sampling, limit, clock)
        median = float(np.median(block))
        settled = runs > 0 and abs(median - last) < sampling.settled * median
        runs, last = runs + len(block), median
    return Warmup(runs=runs, ms=(clock() - began) / 1e6, settled=settled)


def _block(run: Run, sampling: Sampling, limit: int, clock: Clock) -> array[int]:
    end = clock() + round(sampling.warmup_seconds * 1e9 / 2)
    # No list: of a model of 7 µs its numbers would take 3 MB, a quarter of what the model itself does.
    samples = array("q", [time_run(run, clock)])
    while (2 * len(samples) < sampling.warmup_runs or clock() < end) and clock() < limit:
        samples.append(time_run(run, clock))
    return samples


def sample(runs: Sequence[Run], sampling: Sampling, clock: Clock = perf_counter_ns) -> tuple[NDArray[np.int64], ...]:
    """Run all models turn after turn until both minima of this process are reached.

    What disturbs the machine then disturbs all of them alike, so that ratios repeat where times do not. In a turn each
    model runs as often as every other, once or for a few milliseconds in all, a short one some times more before, which
    are not kept; the next turn goes in the other direction.

    Args:
        runs: of models that are warmed up.
        sampling: its minima are those of all processes together.
        clock: of `time_run`.

    Returns:
        Nanoseconds, [R] for each model, in the order of *runs*; R is the same for all.
    """
    least_runs = -(-sampling.least_runs // sampling.processes)
    most = max(least_runs, sampling.most_samples // sampling.processes)
    kept = np.empty((most, len(runs)), np.int64)
    with _collector_off():
        usual = [min(time_run(run, clock) for _ in range(LOOKS)) for run in runs]
        # No more than a quarter of what is needed: the least is then overshot by little.
        repeats = max(1, min(TURN_NS // max(sum(usual), 1), least_runs // 4))
        leads = [0 if each > LONG_NS else -(-LEAD_IN_NS // max(each, 1)) for each in usual]
        turn, order = np.empty((repeats, len(runs)), np.int64), list(range(len(runs)))
        end = clock() + round(sampling.least_seconds / sampling.processes * 1e9)
        done, filled, stride = 0, 0, 1
        while done < least_runs or clock() < end:
            for number in order:
                run = runs[number]
                for _ in range(leads[number]):
                    run()
                for i in range(repeats):
                    began = clock()
                    run()
                    turn[i, number] = clock() - began
            order.reverse()
            for row in turn:
                if done % stride == 0:
                    if filled == most:
                        filled, stride = _thin(kept), 2 * stride
                    if done % stride == 0:
                        kept[filled] = row
                        filled += 1
                done += 1
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
