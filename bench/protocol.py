"""How long a model is warmed up and timed: three named ways, from a quick look to MLPerf's ten minutes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# 200,000 samples bound a p99 to a hair; a 20 µs model would give 30 million in ten minutes.
MOST_SAMPLES: Final = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How a latency is taken.

    Attributes:
        least_runs, least_seconds: what all processes together must reach.
        processes: fresh ones, one after the other, their samples pooled.
        warmup_runs, warmup_seconds: the least of both, in every process, for every model.
        warmup_limit_seconds: a warm-up ends here, settled or not.
        settled: the relative difference of two blocks' medians below which a warm-up ends.
        most_samples: kept per model; beyond it every second one is dropped, evenly over the run.
    """

    name: str
    least_runs: int
    least_seconds: float
    processes: int
    warmup_runs: int
    warmup_seconds: float
    warmup_limit_seconds: float
    settled: float
    most_samples: int = MOST_SAMPLES


def _named(name: str, *, least_runs: int, least_seconds: float, processes: int) -> Sampling:
    return Sampling(
        name=name,
        least_runs=least_runs,
        least_seconds=least_seconds,
        processes=processes,
        warmup_runs=20,
        warmup_seconds=1.0,
        warmup_limit_seconds=10.0,
        settled=0.02,
    )


# 64 runs are the fewest that support a bound of the p90, 662 of the p99.
SAMPLINGS: Final[dict[str, Sampling]] = {
    "quick": _named("quick", least_runs=64, least_seconds=3.0, processes=1),
    "standard": _named("standard", least_runs=662, least_seconds=10.0, processes=3),
    "mlperf": _named("mlperf", least_runs=64, least_seconds=600.0, processes=1),
}
# For a ratio: both models are disturbed alike, so that little time will do; where a model lies in memory is luck, and
# drawn anew in each process.
PAIRED: Final = Sampling(
    name="paired",
    least_runs=325,
    least_seconds=2.5,
    processes=5,
    warmup_runs=20,
    warmup_seconds=0.2,
    warmup_limit_seconds=5.0,
    settled=0.02,
)
